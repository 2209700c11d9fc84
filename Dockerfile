# Builds the same image as `make image`, for pipelines that build a Dockerfile. A test
# compares the two; docs/image.md has the command and lists the differences.
#
# The build needs the repository with its .git, from which it takes the revision and all
# times.
ARG GO_IMAGE=golang:1.26-bookworm

FROM ${GO_IMAGE} AS build
ARG VERSION
ARG TARGETARCH
ARG SOURCE_DATE_EPOCH
WORKDIR /src
COPY . .
# git refuses a repository that belongs to another user, and the build context may be one.
RUN git config --global --add safe.directory /src && \
    cd deploy/image && \
    go run . -version "${VERSION:?give --build-arg VERSION=v1.2.3}" -arch "${TARGETARCH}" -root /out

FROM scratch
ARG VERSION
ARG REVISION
ARG CREATED
COPY --from=build /out/ /
LABEL org.opencontainers.image.title="keyward" \
      org.opencontainers.image.description="Authentication for an API, beside the proxy that carries its traffic" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
# These are numbers, so that Kubernetes' runAsNonRoot can verify that the user is not root.
USER 65532:65532
WORKDIR /etc/keyward
EXPOSE 9191/tcp 9192/tcp 9193/tcp
ENTRYPOINT ["/keyward"]
CMD ["serve", "--config", "/etc/keyward/keyward.yaml"]
