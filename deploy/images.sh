#!/bin/sh
# Builds the container images of the services that are named, or of all: homeward/<service>:<tag>.
#   TAG=1.2.3 REPOSITORY=registry.example/homeward ENGINE=podman GOARCH=arm64 deploy/images.sh [service ...]
set -eu
cd "$(dirname "$0")/.."

: "${TAG:=dev}" "${REPOSITORY:=homeward}" "${ENGINE:=}"
if [ -z "$ENGINE" ]; then
	for candidate in docker podman buildah; do
		if command -v "$candidate" >/dev/null; then
			ENGINE=$candidate
			break
		fi
	done
fi
if [ -z "$ENGINE" ]; then
	echo "No docker, podman or buildah was found: install one of them, or name another one by ENGINE." >&2
	exit 1
fi
if [ $# -eq 0 ]; then
	for main in services/*/cmd/*/main.go; do
		set -- "$@" "$(basename "$(dirname "$main")")"
	done
fi

out=.homeward/images
mkdir -p "$out"
for service; do
	if [ ! -d "services/$service/cmd/$service" ]; then
		echo "There is no service $service: services/$service/cmd/$service does not exist." >&2
		exit 1
	fi
	# Without cgo the program is static. Without the workspace it has the versions that its own go.mod names.
	GOWORK=off CGO_ENABLED=0 GOOS=linux go -C "services/$service" build -trimpath -ldflags='-s -w' -o "$PWD/$out/$service" "./cmd/$service"
	"$ENGINE" build --platform "linux/$(GOOS=linux go env GOARCH)" -f deploy/Dockerfile --build-arg "SERVICE=$service" -t "$REPOSITORY/$service:$TAG" "$out"
	echo "$REPOSITORY/$service:$TAG"
done
