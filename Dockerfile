# A node that is no Mina: the simulated daemon of lucy_engines/simnode, under the name of the real one, so that whatever
# runs `mina daemon …` in a container runs against it unchanged. Build with
#
#     docker build -t lucy-simnode .
#
# or, where no registry can be reached, with .ci/simnode-image, which hands in a base image of this machine's Python and
# all wheels. The syntax is classic on purpose: engines without BuildKit build it too. A slim base has no procps; look
# at processes through /proc. It runs as root, because the FIFOs mounted into it are private to who runs the test.
ARG BASE_IMAGE=python:3.12-slim
FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="lucy-simnode" \
      org.opencontainers.image.description="A simulator of a Mina daemon for integration tests; not Mina" \
      org.opencontainers.image.licenses="Apache-2.0"

# The dependencies by themselves first: their layer lasts while pyproject.toml stays as it is.
WORKDIR /usr/src/lucy
COPY pyproject.toml ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" > requirements.txt \
    && pip install --no-cache-dir -q -r requirements.txt

COPY . .
RUN pip install --no-cache-dir -q --no-deps . \
    && ln -s "$(command -v lucy-simnode)" /usr/local/bin/mina

WORKDIR /root
CMD ["mina", "--help"]
