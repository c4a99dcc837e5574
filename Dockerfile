# The harness with everything that `make demo` needs.
#
#   docker build -t crcl-harness .
#   docker run --rm crcl-harness                                         # make demo: trains, prints the table
#   docker run --rm -v crcl:/home/harness/work -w /home/harness/work crcl-harness harness run demo   # keeps the runs
#
# torch comes with CUDA: `docker run --gpus all`. --build-arg TORCH_INDEX=URL names an index that pip looks into too; with
# torch's own index of builds for CPUs the image is 5 GB smaller.
FROM python:3.12-slim

ARG TORCH_INDEX=

RUN apt-get update \
 && apt-get install --yes --no-install-recommends make \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 1000 harness \
 && install --directory --owner=harness /opt/venv /home/harness/crcl /home/harness/work

USER harness
WORKDIR /home/harness/crcl
ENV VENV=/opt/venv PATH=/opt/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1

# The large packages first: they stay in their layer while the code changes.
COPY --chown=harness constraints.txt ./
RUN python -m venv $VENV \
 && pip install --constraint constraints.txt ${TORCH_INDEX:+--extra-index-url $TORCH_INDEX} torch transformers mlflow optuna

COPY --chown=harness . .
RUN pip install --constraint constraints.txt --editable '.[demo,clean,hub]' \
 && touch $VENV/.demo

CMD ["make", "demo"]
