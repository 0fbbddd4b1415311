#!/bin/busybox sh
# PID 1 of the guest, first half: reach the host's files and make them the root, writable in memory alone.
BB=/bin/busybox
$BB mkdir -p /proc /sys /dev /ro /cow /root
$BB mount -t proc proc /proc
$BB mount -t sysfs sysfs /sys
$BB mount -t devtmpfs devtmpfs /dev
for module in $($BB cat /mods/order); do $BB insmod /mods/$module; done
. /job/vars
$BB date -s "@$JOB_EPOCH" >/dev/null
die() {
  echo "run-in-vm: guest init: $*" >/dev/console
  $BB sleep 1
  $BB reboot -f
}

tries=0
while :; do
  CTL='' OUT='' ERR=''
  for port in /sys/class/virtio-ports/*; do
    case "$($BB cat $port/name 2>/dev/null)" in
      ctl) CTL=/dev/${port##*/} ;;
      out) OUT=/dev/${port##*/} ;;
      err) ERR=/dev/${port##*/} ;;
    esac
  done
  [ -n "$CTL" ] && [ -n "$OUT" ] && [ -n "$ERR" ] && break
  tries=$((tries + 1))
  [ $tries -gt 100 ] && die "no virtio ports"
  $BB usleep 50000
done
exec 9>$CTL
echo "up $($BB cut -d' ' -f1 /proc/uptime)" >&9

OPTIONS="trans=virtio,version=9p2000.L,msize=512000"
$BB mount -t 9p -o $OPTIONS,ro,cache=loose rootfs /ro || die "9p root"
$BB mount -t tmpfs -o size=75% tmpfs /cow
over() { # NUMBER LOWER MOUNTPOINT: the host's folder, writable, and the writes forgotten
  $BB mkdir -p /cow/upper$1 /cow/work$1
  $BB mount -t overlay -o lowerdir="$2",upperdir=/cow/upper$1,workdir=/cow/work$1 overlay "$3" || die "overlay on $3"
}
over root /ro /root
$BB mount -t proc proc /root/proc
$BB mount -t sysfs sysfs /root/sys
$BB mount -t devtmpfs devtmpfs /root/dev
$BB mkdir -p /root/dev/pts /root/dev/shm
$BB mount -t devpts -o ptmxmode=666 devpts /root/dev/pts
$BB mount -t tmpfs tmpfs /root/dev/shm
$BB mount -t tmpfs tmpfs /root/run
[ "$JOB_HOST_TMP" = 1 ] || $BB mount -t tmpfs tmpfs /root/tmp
$BB mkdir -p /root/sys/fs/cgroup && $BB mount -t cgroup2 cgroup2 /root/sys/fs/cgroup
$BB mount -t debugfs debugfs /root/sys/kernel/debug 2>/dev/null
[ -e /root/dev/fd ] || $BB ln -s /proc/self/fd /root/dev/fd
[ -e /root/dev/stdin ] || $BB ln -s /proc/self/fd/0 /root/dev/stdin
[ -e /root/dev/stdout ] || $BB ln -s /proc/self/fd/1 /root/dev/stdout
[ -e /root/dev/stderr ] || $BB ln -s /proc/self/fd/2 /root/dev/stderr

RELEASE=$($BB uname -r)
$BB mkdir -p /root/usr/lib/modules/$RELEASE
$BB mount --bind "/ro$JOB_KERNEL/lib/modules/$RELEASE" /root/usr/lib/modules/$RELEASE || die "kernel modules"
number=0
for folder in $JOB_SHOW; do # what lies under the empty /tmp or /run and is needed all the same
  $BB mkdir -p "/root$folder"
  over show$number "/ro$folder" "/root$folder"
  number=$((number + 1))
done
number=0
for folder in $JOB_RW; do
  $BB mkdir -p "/root$folder"
  $BB mount -t 9p -o $OPTIONS,cache=none rw$number "/root$folder" || die "9p $folder"
  number=$((number + 1))
done
$BB hostname rdma-vm
$BB ip link set lo up
[ -e /sys/class/net/eth0 ] && $BB ip addr add 10.0.2.15/24 dev eth0 && $BB ip link set eth0 up

HOME_OF_JOB=/root/run/.vm
$BB mkdir $HOME_OF_JOB
$BB cp /bin/busybox /job/run /stage2 $HOME_OF_JOB/
$BB chmod 755 $HOME_OF_JOB/*
if [ -e /job/stdin ]; then $BB cp /job/stdin $HOME_OF_JOB/stdin; else : >$HOME_OF_JOB/stdin; fi
echo "OUT=$OUT; ERR=$ERR" >$HOME_OF_JOB/ports
$BB umount -l /proc /sys /dev
# PID 1 itself moves into the new root: the kernel's own modprobe calls look for it there
exec $BB switch_root /root /run/.vm/stage2
