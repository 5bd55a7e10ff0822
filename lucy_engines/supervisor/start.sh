#!/bin/sh
# Upstream's way to start the daemon from inside of its container, mounted as /start.sh. Unlike upstream's it doesn't
# wait for ever: after a minute it fails, with upstream's exit code for a start that failed.
active=${LUCY_ACTIVE_FILE:-/root/daemon-active}
kill -USR2 "${LUCY_PUPPETEER_PID:-1}" || exit 11
left=300
until [ -e "$active" ]; do
    if [ $((left -= 1)) -lt 0 ]; then
        echo "start.sh: the daemon has not started in a minute; the container's log may say why" >&2
        exit 11
    fi
    sleep 0.2 2>/dev/null || sleep 1
done
