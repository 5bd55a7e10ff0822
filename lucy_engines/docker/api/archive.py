"""Files into and out of a container, as the tar archives that the Engine's API takes and gives."""

import io
import tarfile
import time
from collections.abc import Mapping
from posixpath import join, normpath

from aiodocker.exceptions import DockerError

from lucy_core.errors import NodeFileError
from lucy_engines.docker.api.client import EngineClient, is_answer


def pack(files: Mapping[str, bytes]) -> bytes:
    """Put files under their absolute paths into an archive of `/`, and empty directories, which end in `/`.

    Directories on the way make themselves.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(path.lstrip("/"))
            member.size, member.mode, member.mtime = len(content), 0o600, int(time.time())
            if path.endswith("/"):
                member.type, member.mode = tarfile.DIRTYPE, 0o700
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def unpack(archive: tarfile.TarFile) -> bytes | None:
    """Take the only file out of an archive, or return None where it is none: a directory, a link, a device."""
    member = archive.next()
    file = archive.extractfile(member) if member is not None and member.isreg() else None
    return None if file is None else file.read()


async def read_file(client: EngineClient, container: str, node: str, path: str) -> bytes:
    """Return a file of a container.

    Raises:
        NodeFileError: there is none at that path.
    """
    try:
        with client.calling(f"read {path} of {node}"):
            try:
                content = unpack(await client.container(container).get_archive(path))
            except DockerError as error:
                raise _refused(error, node, "read", path) from error
    except tarfile.TarError as error:
        raise NodeFileError(node, "read", path, f"what came is no archive ({error})") from error
    if content is None:
        raise NodeFileError(node, "read", path, "it is no regular file")
    return content


async def write_files(client: EngineClient, container: str, node: str, files: Mapping[str, bytes]) -> None:
    """Put files into a container, under absolute paths.

    Raises:
        NodeFileError: they can't be written.
    """
    what = ", ".join(files)
    with client.calling(f"write {what} of {node}"):
        try:
            await client.container(container).put_archive("/", pack(files))  # type: ignore[no-untyped-call]
        except DockerError as error:
            raise _refused(error, node, "write", what) from error


def _refused(error: DockerError, node: str, action: str, path: str) -> Exception:
    if not is_answer(error):
        return error
    return NodeFileError(node, action, path, "No such file or directory" if error.status == 404 else error.message)


def absolute(directory: str, path: str) -> str:
    """Return where in the container a path of a node is."""
    return normpath(join(directory, path))
