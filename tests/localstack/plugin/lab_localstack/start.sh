#!/bin/sh
# Usage: start.sh JOURNAL ENVIRONMENT FUNCTION PROGRAM [ARGUMENT...]
# Notes in JOURNAL that this process exists, then becomes PROGRAM: same process id, same start time. A line holds the
# environment, the function and the kernel's own words on the process; being short, it is appended in one piece.
set -e
read -r stat </proc/self/stat
echo "$2 $3 $stat" >>"$1"
shift 3
exec "$@"
