#!/bin/sh
# Upstream's way to stop the daemon from inside of its container, mounted as /stop.sh. Unlike upstream's it doesn't
# wait for ever: after a minute it fails, with upstream's exit code for a stop that failed.
active=${LUCY_ACTIVE_FILE:-/root/daemon-active}
kill -USR1 "${LUCY_PUPPETEER_PID:-1}" || exit 12
left=300
while [ -e "$active" ]; do
    if [ $((left -= 1)) -lt 0 ]; then
        echo "stop.sh: the daemon has not stopped in a minute" >&2
        exit 12
    fi
    sleep 0.2 2>/dev/null || sleep 1
done
