#!/bin/sh
# Runs every fuzz target of the modules in the given folders, one after another, and says of each how many inputs it was given.
# TIME is how long each runs. What fails is written to the target's folder below testdata/fuzz: keep it there, it is a test from then on.
set -eu

time=${TIME:-30s}
out=$(mktemp)
trap 'rm -f "$out"' EXIT
ran=0
failed=

for module in "$@"; do
	for pkg in $(cd "$module" && grep -rl --include='*_test.go' '^func Fuzz' . | xargs -r -n1 dirname | sort -u); do
		for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$module/$pkg"/*_test.go); do
			name="$module/${pkg#./} $target"
			# Whatever is new is made smaller a hundred times, instead of for a minute, which would be spent on little else.
			status=0
			(cd "$module" && ${GO:-go} test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 100x -parallel 2 "$pkg") >"$out" 2>&1 || status=$?
			execs=$(sed -n 's/.*execs: \([0-9]*\).*/\1/p' "$out" | tail -n 1)
			# The end of the time in the middle of an input is reported as a failure, with these words and without an input.
			if [ "$status" -ne 0 ] && grep -q '^    context deadline exceeded$' "$out" && ! grep -q 'Failing input' "$out"; then
				status=0
			fi
			if [ "$status" -ne 0 ] || [ "${execs:-0}" -eq 0 ]; then
				cat "$out"
				failed="$failed
  $name"
			fi
			ran=$((ran + 1))
			printf '%-60s %10s executions\n' "$name" "${execs:-no}"
		done
	done
done

[ "$ran" -gt 0 ] || { echo "no fuzz target was found"; exit 1; }
[ -z "$failed" ] || { echo "failed:$failed"; exit 1; }
