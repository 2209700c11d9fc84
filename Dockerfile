# Keyward alone, for a sidecar or a shared service:
#   docker build --build-arg VERSION="$(git describe --tags --always)" -t keyward .
#   docker run --read-only -v /etc/keyward:/etc/keyward:ro -p 9191:9191 keyward
# In a container the listeners have to be on 0.0.0.0, so keyward.yaml must say so.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=unknown
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /keyward ./cmd/keyward

# Nothing but the program: no shell, no package manager. It writes nothing but
# its log, so the root can be read-only.
FROM scratch
COPY --from=build /keyward /keyward
# A number, so that Kubernetes' runAsNonRoot can tell that it is not root.
USER 65532:65532
WORKDIR /etc/keyward
EXPOSE 9191 9193
ENTRYPOINT ["/keyward"]
CMD ["serve", "--config", "/etc/keyward/keyward.yaml"]
