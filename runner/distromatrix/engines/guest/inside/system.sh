# Makes a whole system of a container's root filesystem. Run as root in a container of that image,
# without a network. $1: the public key that may log in. What a container has of its own in /etc
# (hosts, hostname, resolv.conf) is written into the disk.
# The user vagrant, who may do all, is what Vagrant expects of a box.
cd /
[ -x usr/sbin/sshd ] || exit 3
[ -x usr/bin/sudo ] || exit 4
if ! grep -q ^vagrant: etc/passwd; then
  id=1000
  while grep -q ":x:$id:" etc/passwd etc/group; do id=$((id + 1)); done
  echo "vagrant:x:$id:" >>etc/group
  echo "vagrant:x:$id:$id::/home/vagrant:/bin/sh" >>etc/passwd
  [ ! -e etc/gshadow ] || echo 'vagrant:!::' >>etc/gshadow
  [ ! -e etc/shadow ] || echo 'vagrant:*:19000:0:99999:7:::' >>etc/shadow
  mkdir -p home/vagrant
  chown $id:$id home/vagrant
fi
# Without a password, but not locked: sshd lets nobody in whose password is locked.
[ ! -e etc/shadow ] || sed -i 's/^root:[!*][!*]*:/root:*:/' etc/shadow
for home in root home/vagrant; do
  mkdir -p $home/.ssh
  printf '%s\n' "$1" >$home/.ssh/authorized_keys
  chmod 700 $home/.ssh
  chmod 600 $home/.ssh/authorized_keys
done
owner=$(sed -n 's/^vagrant:[^:]*:\([0-9]*:[0-9]*\):.*/\1/p' etc/passwd)
chown -R "$owner" home/vagrant/.ssh
mkdir -p etc/sudoers.d
echo 'vagrant ALL=(ALL) NOPASSWD: ALL' >etc/sudoers.d/vagrant
chmod 440 etc/sudoers.d/vagrant
# Its root is mounted when init begins; a line for it would have init wait for the device.
: >etc/fstab
# Its own identity at the first boot.
[ ! -e etc/machine-id ] || : >etc/machine-id
mkdir -p etc/ssh
# A key that the image brings is known to all who have the image.
rm -f etc/ssh/ssh_host_*_key etc/ssh/ssh_host_*_key.pub
ssh-keygen -q -t ed25519 -N '' -C '' -f etc/ssh/ssh_host_ed25519_key || exit 5
# Many sessions at once; nothing that asks a network or shows a greeting.
sshd='UseDNS no\nUsePAM no\nPrintMotd no\nPrintLastLog no\nMaxSessions 100\nMaxStartups 100\n'
sshd="${sshd}GSSAPIAuthentication no\nHostKey /etc/ssh/ssh_host_ed25519_key\nPermitRootLogin prohibit-password\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
if grep -q '^Include /etc/ssh/sshd_config.d' etc/ssh/sshd_config 2>/dev/null; then
  mkdir -p etc/ssh/sshd_config.d
  printf "$sshd" >etc/ssh/sshd_config.d/00-distromatrix.conf
else
  { printf "$sshd"; cat etc/ssh/sshd_config; } >etc/ssh/sshd_config.new
  mv etc/ssh/sshd_config.new etc/ssh/sshd_config
fi
# sudo's own session, too, asks nobody.
if [ -d usr/lib/systemd ] || [ -d lib/systemd ]; then
  units=etc/systemd/system
  mkdir -p $units/multi-user.target.wants etc/systemd/network
  for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    e2scrub_reap.service fstrim.timer man-db.timer logrotate.timer motd-news.timer \
    systemd-networkd-wait-online.service systemd-timesyncd.service systemd-pstore.service \
    systemd-binfmt.service \
    getty@tty1.service dnf-makecache.timer unbound-anchor.timer raid-check.timer; do
    [ -e $units/$unit ] || ln -s /dev/null $units/$unit
  done
  lib=usr/lib/systemd
  [ -d $lib/system ] || lib=lib/systemd
  if [ -e $lib/system/systemd-networkd.service ] && [ ! -e etc/network/interfaces ]; then
    printf '[Match]\nName=en* eth*\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\n' >etc/systemd/network/80-distromatrix.network
    # Not started unless the kernel's command line wants it: the address is there already.
  fi
fi
