#!/bin/sh
# Builds dist/hello_99_all.deb, and dist/hello-99-1.noarch.rpm where there is rpmbuild.
set -eu
cd "$(dirname "$0")"
rm -rf dist build
mkdir -p dist build/root/usr/bin build/root/etc
install -m 755 hello build/root/usr/bin/hello
echo 'greeting=Hello' >build/root/etc/hello99.conf

if command -v dpkg-deb >/dev/null; then
  cp -r build/root build/deb
  mkdir build/deb/DEBIAN
  echo /etc/hello99.conf >build/deb/DEBIAN/conffiles
  cat >build/deb/DEBIAN/control <<'END'
Package: hello
Version: 99
Architecture: all
Maintainer: nobody <nobody@example.org>
Description: greets, newer than what distributions have
END
  # It leaves something behind when it is purged: the log says so.
  cat >build/deb/DEBIAN/postinst <<'END'
#!/bin/sh
set -e
mkdir -p /var/lib/hello99
echo "upgraded from ${2:-nothing}" >/var/lib/hello99/state
END
  chmod 755 build/deb/DEBIAN/postinst
  dpkg-deb --root-owner-group -b build/deb dist/hello_99_all.deb
fi

if command -v rpmbuild >/dev/null; then
  cat >build/hello.spec <<'END'
Name: hello
Version: 99
Release: 1
Summary: greets, newer than what distributions have
License: MIT
BuildArch: noarch
%description
Greets.
%install
cp -a %{here}/build/root/. %{buildroot}/
%post
mkdir -p /var/lib/hello99
echo "installation number $1" >/var/lib/hello99/state
%files
/usr/bin/hello
%config(noreplace) /etc/hello99.conf
END
  rpmbuild -bb --quiet --define "here $PWD" --define "_topdir $PWD/build/rpm" build/hello.spec
  cp build/rpm/RPMS/noarch/hello-99-1.noarch.rpm dist/
fi
ls dist
