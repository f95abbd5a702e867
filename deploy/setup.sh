#!/bin/sh
# Writes .env and secrets/: sh setup.sh DOMAIN [PUBLIC_IP/PRIVATE_IP]
# The second one only where the machine does not have its public address itself. Existing secrets stay.
set -eu

if [ $# -lt 1 ]; then
    echo "usage: sh setup.sh DOMAIN [PUBLIC_IP/PRIVATE_IP]" >&2
    exit 2
fi
case $1 in
*[!a-zA-Z0-9.-]* | "") echo "$1 is no domain name." >&2 && exit 2 ;;
esac
case ${2:-} in
*[!0-9a-fA-F:./]*) echo "$2 is no pair of addresses." >&2 && exit 2 ;;
esac

cd "$(dirname "$0")"
umask 077
mkdir -p secrets
[ -s secrets/turn-secret ] || head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >secrets/turn-secret
external=${2:+external-ip=$2}
sed -e "s|@DOMAIN@|$1|" -e "s|@EXTERNAL_IP@|$external|" \
    -e "s|@SECRET@|$(cat secrets/turn-secret)|" coturn/turnserver.conf >secrets/turnserver.conf
touch .env # may say SERVERS= as well
others=$(grep -v '^DOMAIN=' .env || true)
printf '%s\n' "DOMAIN=$1" ${others:+"$others"} >.env
# The containers read them as users of their own; nobody else gets into the folder.
chmod 0644 secrets/turn-secret secrets/turnserver.conf
echo "Written: .env, secrets/turn-secret, secrets/turnserver.conf. Next: docker compose up -d --build"
