FROM rust:1.95-slim AS build
WORKDIR /src
COPY . .
RUN sh docker/stage.sh /out

# Nothing but the binary: no shell, no libraries, no other user than this number.
FROM scratch
COPY --from=build /out/keystile /bin/keystile
COPY --from=build --chown=65532:65532 /out/data /data

# By environment and not by flags, so that `docker exec NAME keystile users list` sees the same.
# Within the container there is nobody but the proxy of the published port; publish it on loopback
# or put TLS in front.
ENV PATH=/bin
ENV KEYSTILE_STORAGE__PATH=/data
ENV KEYSTILE_SERVER__LISTEN=0.0.0.0:8000
ENV KEYSTILE_SERVER__BEHIND_TLS_PROXY=true
# As .cargo/config.toml has it for `cargo run`.
ENV MALLOC_ARENA_MAX=2
ENV MALLOC_TRIM_THRESHOLD_=1048576

USER 65532:65532
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=3s --start-period=10s CMD ["/bin/keystile", "healthcheck"]
ENTRYPOINT ["/bin/keystile"]
CMD ["serve"]
