#!/bin/bash
# Runs inside a node's guest, as its only job: network, RDMA devices, containerd, kubelet. node.py says what the variables are.
set -u
exec >>"$DIR/node.log" 2>&1
mark() { echo "$1 $(cut -d' ' -f1 /proc/uptime)" >>"$DIR/times"; }
export PATH=$BIN:$PATH
: >"$DIR/times"
mark guest
hostname "$NAME"
mount --make-rshared /
modprobe -a virtio_net virtio_blk ext4 e1000e
ip addr flush dev eth0
ip addr add "$NETWORK.0.$((10 + INDEX))/24" dev eth0
ip link set eth0 mtu 9000 up
ip route add default via "$NETWORK.0.1"
cd "$PROJECT" && python3 -m tests.lab.kube.shell &

# containerd's root, filled on the host; writes to it are forgotten with the guest
mkdir -p /var/lib/node /var/lib/containerd /var/lib/kubelet /var/log/pods /var/log/containers /etc/cni/net.d /opt/cni
mount /dev/vda /var/lib/node
mkdir -p /var/lib/node/{containerd,kubelet,log}
mount --bind /var/lib/node/containerd /var/lib/containerd
mount --bind /var/lib/node/kubelet /var/lib/kubelet
mount --bind /var/lib/node/log /var/log/pods
mark disk

modprobe -a ib_uverbs ib_umad rdma_ucm
modprobe rdma_rxe $RXE_PARAMETERS || modprobe rdma_rxe
number=0
while [ "$number" -lt "$NICS" ]; do
  netdev=eth$((number + 1))
  ip link set "$netdev" mtu 9000 up
  ip addr add "$NETWORK.$((number + 1)).$((10 + INDEX))/24" dev "$netdev"
  rdma link add "mlx5_$number" type rxe netdev "$netdev"
  number=$((number + 1))
done
# several cards on one bridge: each answers for its own address alone
for setting in arp_ignore=1 arp_announce=2; do
  echo "${setting#*=}" >"/proc/sys/net/ipv4/conf/all/${setting%=*}"
done
mark rdma

# pods: 10.244.INDEX.0/24, routed to the other nodes; in place of kube-proxy the one Service that every pod may need
echo 1 >/proc/sys/net/ipv4/ip_forward
for other in 1 2 3 4 5 6 7 8 9; do
  [ "$other" = "$INDEX" ] || ip route add "10.244.$other.0/24" via "$NETWORK.0.$((10 + other))"
done
nft -f - <<X
table ip lab {
  chain pre { type nat hook prerouting priority -100; ip daddr 10.96.0.1 tcp dport 443 dnat to $API; }
  chain out { type nat hook output priority -100; ip daddr 10.96.0.1 tcp dport 443 dnat to $API; }
  chain post { type nat hook postrouting priority 100; ip saddr 10.244.0.0/16 ip daddr != 10.244.0.0/16 masquerade; }
}
X
cat >/etc/cni/net.d/10-lab.conflist <<X
{"cniVersion": "1.0.0", "name": "lab", "plugins": [
 {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipam": {"type": "host-local",
  "ranges": [[{"subnet": "10.244.$INDEX.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
X
mark network

containerd -c "$DIR/containerd.toml" >"$DIR/containerd.log" 2>&1 &
while [ ! -S /run/containerd/containerd.sock ]; do sleep 0.1; done
mark containerd
while :; do
  mark kubelet
  kubelet --config "$DIR/kubelet.json" --kubeconfig "$DIR/kubeconfig" --hostname-override "$NAME" \
    --node-ip "$NETWORK.0.$((10 + INDEX))" --node-labels "$LABELS" -v 1 >>"$DIR/kubelet.log" 2>&1
  echo "kubelet ended with $?"
  sleep 5
done
