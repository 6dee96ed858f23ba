# One image for every command; with AWS_ENDPOINT_URL unset it runs against AWS. Builds with and without BuildKit.

FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# The build tools go into this stage's own Python; /opt/venv gets the program alone, without even pip. The locked
# dependencies come first, so that a change of the code does not download them again.
COPY requirements/ requirements/
RUN python -m venv --without-pip /opt/venv \
    && pip install --require-hashes -r requirements/build.txt \
    && pip --python /opt/venv/bin/python install --require-hashes -r requirements/runtime.txt
COPY . .
# The wheel carries the Lambdas and the state machine, so that `deploy` works where there is no checkout.
RUN pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && pip --python /opt/venv/bin/python install --no-deps dist/*.whl

FROM python:3.13-slim
COPY --from=build /opt/venv /opt/venv
# The program writes no file, so the root file system may be read-only. Inside a container loopback is the container's
# own: only by listening on all addresses can a published port, or a cluster's probe, reach it. Who may reach it from
# outside is decided where the port is published.
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 SCHEDULER_HTTP_HOST=0.0.0.0
# A number, since a cluster's "must not run as root" cannot look a name up.
USER 10001:10001
EXPOSE 8080
# Unhealthy means that a restart helps, for that is what an orchestrator does then: it is asked whether it is alive. A
# cloud or a source that cannot be used makes it unready, not dead; ask `healthcheck` without --live for that. It is for
# `run`: switch it off where the container runs another command.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["callback-scheduler", "healthcheck", "--live"]
# The exec form: the daemon is process 1 itself, so that SIGTERM reaches it and it drains.
ENTRYPOINT ["callback-scheduler"]
CMD ["run"]
