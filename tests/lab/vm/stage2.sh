#!/run/.vm/busybox sh
# PID 1 of the guest, second half: run the job, lead its output out, report its exit code, end.
V=/run/.vm
BB=$V/busybox
. $V/ports
$BB mkfifo $V/o $V/e
$BB cat $V/o >$OUT & out=$!
$BB cat $V/e >$ERR & err=$!
echo "run $($BB cut -d' ' -f1 /proc/uptime)" >&9
$BB setsid /bin/sh $V/run <$V/stdin >$V/o 2>$V/e 9>&-
rc=$?
# a background process may still hold the pipes: one second for what is on its way
tries=0
while [ $tries -lt 40 ] && { [ -d /proc/$out ] || [ -d /proc/$err ]; }; do
  tries=$((tries + 1))
  $BB usleep 25000
done
echo "rc $rc $($BB cut -d' ' -f1 /proc/uptime)" >&9
$BB sync
$BB reboot -f
