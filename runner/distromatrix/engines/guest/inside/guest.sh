# Process 1 of a direct guest: what a system needs at the least, then a shell on the port for
# commands of the engine, for as long as the guest lives.
guest=/distromatrix/guest
b=$guest/busybox
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$guest/bin HOME=/root
unset TERM # of the kernel's
cd /
$b mkdir -p /dev/pts /dev/shm /run /tmp
$b mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
$b mount -t tmpfs -o nosuid,nodev,mode=1777 shm /dev/shm
$b mount -t tmpfs -o nosuid,nodev,mode=755 run /run
$b mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null
# What commands begin is one group: bounded, ended as one, and among processes it counts as one.
$b mkdir /sys/fs/cgroup/distromatrix 2>/dev/null
for one in pids cpu; do
	{ echo +$one >/sys/fs/cgroup/cgroup.subtree_control; } 2>/dev/null
done
$b mount -t securityfs securityfs /sys/kernel/security 2>/dev/null
$b mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null
$b mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null
$b mount -t bpf bpf /sys/fs/bpf 2>/dev/null
[ -e /dev/fd ] || $b ln -s /proc/self/fd /dev/fd
for n in 0:in 1:out 2:err; do
	[ -e /dev/std${n#*:} ] || $b ln -s /proc/self/fd/${n%:*} /dev/std${n#*:}
done
$b mkdir -p /run/lock
$b chmod 1777 /run/lock
# The engine's network: qemu-system(1), -netdev user.
[ -e /proc/net/if_inet6 ] || $b modprobe -q ipv6 2>/dev/null
$b ifconfig lo 127.0.0.1 up
if [ -e /sys/class/net/eth0 ]; then
	$b ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
	$b route add default gw 10.0.2.2
fi
echo 'nameserver 10.0.2.3' >/etc/resolv.conf
echo '127.0.0.1 localhost' >/etc/hosts
[ ! -e /proc/net/if_inet6 ] || echo '::1 localhost' >>/etc/hosts
# Whoever the suite becomes may ask for a restart.
$b chmod 622 /dev/vport*p2
set -- /dev/vport*p1
control=$1
echo "distromatrix: ready"
while :; do
	$guest/become-0-0 /bin/sh $guest/loop.sh <>$control 1>&0 2>/dev/null
	$b sleep 0.2
done &
# What loses its parent is ours to bury.
while :; do
	$b sleep 3600 &
	wait
done
