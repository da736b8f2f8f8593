"""The key as a credential of systemd: a file that an access control list opens to the user of the service."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

KEY = "0123456789abcdef"


def acl(uid: int) -> bytes:
    """An access control list as the kernel keeps it: the owner and one user may read, all others nothing."""
    no_id = 2**32 - 1
    entries = [(1, 4, no_id), (2, 4, uid), (4, 0, no_id), (16, 4, no_id), (32, 0, no_id)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


@pytest.fixture
def credential(tmp_path: Path) -> Path:
    file = tmp_path / "credentials/key"
    file.parent.mkdir()
    file.write_text(KEY)
    file.chmod(0o400)
    try:
        os.setxattr(file, "system.posix_acl_access", acl(61234))
    except (OSError, AttributeError):
        pytest.skip("no access control lists here")
    assert file.stat().st_mode & 0o777 == 0o440, "the mask of the list is shown as the bits of the group"
    return file


def test_a_credential_is_a_key(serve: Callable[..., Any], credential: Path) -> None:
    server = serve("--api-key-file", str(credential), CREDENTIALS_DIRECTORY=str(credential.parent))
    assert server.client.get("/api/v1/projects").status_code == 401
    assert server.client.get("/api/v1/projects", headers={"X-API-Key": KEY}).status_code == 200


def test_group_bits_count_outside_the_credentials_directory(
    run_agent: Callable[..., Any], credential: Path, tmp_path: Path
) -> None:
    """And bits for all others are refused in the directory of credentials, too."""

    def refused(directory: object) -> str:
        done = run_agent("serve", "--api-key-file", credential, CREDENTIALS_DIRECTORY=str(directory))
        assert (done.returncode, done.stdout) == (2, "")
        said: str = done.stderr
        return said

    for elsewhere in ("", tmp_path, tmp_path / "credential"):
        said = refused(elsewhere)
        assert "chmod 600" in said
        assert "RUN_AGENT_API_KEY" in said, "the way for a secret that cannot have another mode"
    credential.chmod(0o444)
    assert "mode 444" in refused(credential.parent)
