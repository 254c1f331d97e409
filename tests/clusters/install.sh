#!/bin/bash
# Installs the daemons that the cluster tests start by themselves (Debian, Ubuntu; as root; no questions).
# Nothing is configured or started: the packages' own services are held back. Slurm's commands in Torque's
# manner, which as a package exclude Grid Engine's, are unpacked into .torque/ beside this file.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ "$(id -u)" = 0 ] || { echo "$0: run it as root" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive

held=
if [ ! -e /usr/sbin/policy-rc.d ]; then
  held=1
  printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d # "no service may start"
  chmod 755 /usr/sbin/policy-rc.d
fi
trap '[ -z "$held" ] || rm -f /usr/sbin/policy-rc.d' EXIT

command -v debconf-set-selections >/dev/null &&
  echo 'gridengine-common shared/gridengineconfig boolean false' | debconf-set-selections
mapfile -t packages < <(grep -v '^$' "$here/packages.txt")
apt-get -o DPkg::Lock::Timeout=300 -qq install -y --no-install-recommends "${packages[@]}" >/dev/null

unpacked=$(mktemp -d)
trap '[ -z "$held" ] || rm -f /usr/sbin/policy-rc.d; rm -rf "$unpacked"' EXIT
(cd "$unpacked" && apt-get -qq -o APT::Sandbox::User=root download slurm-wlm-torque >/dev/null && dpkg-deb -x slurm-wlm-torque*.deb .)
rm -rf "$here/.torque"
mkdir "$here/.torque"
cp "$unpacked"/usr/bin/q* "$here/.torque/"
ln -s "$(command -v sbatch)" "$here/.torque/sbatch" # its qsub looks for it there

# Grid Engine does not start on a host whose name does not resolve.
getent hosts "$(hostname)" >/dev/null || echo "127.0.0.1 $(hostname)" >>/etc/hosts
