# A root file system of busybox alone, as the archive $1: for a machine that has no registry and no
# archive of Alpine in reach, and Debian's busybox-static.
set -eu
root=$(mktemp -d)
cd "$root"
mkdir -p bin sbin usr/bin usr/sbin etc dev proc sys root var run
mkdir -m 1777 tmp
cp /usr/bin/busybox bin/busybox
for applet in $(bin/busybox --list); do
  [ "$applet" = busybox ] || ln -s /bin/busybox "bin/$applet"
done
echo root:x:0:0:root:/root:/bin/sh >etc/passwd
echo root:x:0: >etc/group
echo 'ID=tiny' >etc/os-release
tar -czf "$1" .
rm -r "$root"
