"""Who may talk to whom: mutual TLS between services, and nothing open to the network by default."""

import grpc

from pentad_chassis.config import ConfigInvalid, Settings

_LOOPBACK = ("127.", "localhost:", "[::1]:", "unix:", "unix-abstract:")


def server_credentials(config: Settings, *, public: bool) -> grpc.ServerCredentials | None:
    """Return TLS credentials, or None for plain text.

    Services require their callers' certificates; the public edge has its own authentication.
    """
    pem = _read(config)
    if pem is None:
        return None
    key, certificate, ca = pem
    return grpc.ssl_server_credentials(
        [(key, certificate)], root_certificates=ca, require_client_auth=not public
    )


def channel_credentials(config: Settings) -> grpc.ChannelCredentials | None:
    """Return TLS credentials, or None for plain text."""
    pem = _read(config)
    if pem is None:
        return None
    key, certificate, ca = pem
    return grpc.ssl_channel_credentials(ca, key, certificate)


def check_exposure(config: Settings) -> None:
    """Raise ConfigInvalid when `config` would open a port to the network without credentials."""
    prefix = str(config.model_config.get("env_prefix", ""))
    listened = {"ADDRESS": config.address, "SHARED_ADDRESS": config.shared_address}
    problems = [
        f"{prefix}{field}: {address} is open to the network; set {prefix}TLS_CERT_FILE, "
        f"_TLS_KEY_FILE and _TLS_CA_FILE, or {prefix}INSECURE_NETWORK=true where the network "
        "itself is encrypted"
        for field, address in listened.items()
        if not (_closed(address) or config.insecure_network or config.tls_cert_file)
    ]
    if not (_closed(config.metrics_address) or config.insecure_network):
        problems.append(
            f"{prefix}METRICS_ADDRESS: {config.metrics_address} is open to the network and asks "
            f"for no credential; use loopback, or {prefix}INSECURE_NETWORK=true where only those "
            "who may see it can reach it"
        )
    if problems:
        raise ConfigInvalid(tuple(problems))


def _closed(address: str) -> bool:
    return not address or address.startswith(_LOOPBACK)


def _read(config: Settings) -> tuple[bytes, bytes, bytes] | None:
    files = (config.tls_key_file, config.tls_cert_file, config.tls_ca_file)
    if not any(files):
        return None
    key, certificate, ca = files
    if key is None or certificate is None or ca is None:
        raise ConfigInvalid(("TLS needs all of TLS_CERT_FILE, TLS_KEY_FILE and TLS_CA_FILE",))
    try:
        return key.read_bytes(), certificate.read_bytes(), ca.read_bytes()
    except OSError as error:
        raise ConfigInvalid((f"TLS file cannot be read: {error.filename}",)) from None
