#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The machine that a real guest of the lab boots: Debian's cloud kernel, its virtio
modules, and guest/init.c as the only program. Made once and kept in the build directory
(guest/vmlinuz, guest/initrd); nothing of it is installed on this machine."""
import glob
import os
import re
import shutil
import subprocess
import tarfile
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
KERNEL_OF = "linux-image-cloud-amd64"
MODULES = ("virtio_pci", "virtio_net")
FETCH_LIMIT_S = 180


class ImageError(Exception):
    """The image could not be made; says why."""


def _run(argv, **kw):
    done = subprocess.run(argv, text=True, capture_output=True, timeout=FETCH_LIMIT_S, **kw)
    if done.returncode:
        raise ImageError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _fetch(folder):
    """Download the package of the newest kernel that Debian has; its path."""
    def newest():
        found = re.search(r"Depends: (linux-image-\S+)",
                          subprocess.run(["apt-cache", "depends", KERNEL_OF], text=True,
                                         capture_output=True, check=False).stdout)
        return found and found[1]
    name = newest()
    if not name:                         # a machine whose package lists are not there
        _run(["apt-get", "-q", "update"])
        name = newest()
    if not name:
        raise ImageError(f"the package lists of this machine do not know {KERNEL_OF}")
    get = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", name]
    try:
        _run(get, cwd=folder)
    except ImageError:                   # lists that are older than the archive
        _run(["apt-get", "-q", "update"])
        _run(get, cwd=folder)
    return glob.glob(os.path.join(folder, "*.deb"))[0]


def _needs(module):
    """Names of the modules that this one (its bytes) needs."""
    found = re.search(rb"\0depends=([^\0]*)\0", module)
    return [n for n in found[1].decode().split(",") if n] if found else []


def _unpack(package):
    """The kernel, and all modules by name as far as they may be needed."""
    kernel, modules = None, {}
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as p:
        with tarfile.open(fileobj=p.stdout, mode="r|") as tar:
            for item in tar:
                base = os.path.basename(item.name)
                if base.startswith("vmlinuz-"):
                    kernel = tar.extractfile(item).read()
                elif base.endswith(".ko") and re.search(r"/(virtio|net)/", item.name):
                    modules[base[:-3].replace("-", "_")] = tar.extractfile(item).read()
        p.stdout.read()
    if not kernel:
        raise ImageError(f"{package}: no kernel in it")
    return kernel, modules


def _order(modules, wanted):
    """The modules that are wanted, after those that they need."""
    order = []

    def add(name):
        if name in order or name not in modules:     # not there: built into the kernel
            return
        for other in _needs(modules[name]):
            add(other)
        order.append(name)
    for name in wanted:
        add(name)
    return order


def newc(entries):
    """An archive of (name, mode, content, device) as the kernel unpacks it (cpio newc)."""
    out = bytearray()
    for number, (name, mode, data, (major, minor)) in enumerate(
            entries + [("TRAILER!!!", 0, b"", (0, 0))], 1):
        path = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(path), 0)
        out += b"070701" + b"".join(b"%08X" % f for f in fields) + path
        out += bytes(-len(out) % 4) + data
        out += bytes(-len(out) % 4)
    return bytes(out)


def image(build):
    """(kernel, initrd): paths in the build directory, made where they are missing or
    older than the program in it."""
    init = os.path.join(build, "lab", "guest", "guest-init")
    folder = os.path.join(build, "guest")
    paths = [os.path.join(folder, n) for n in ("vmlinuz", "initrd")]
    if not os.path.exists(init):
        raise ImageError(f"{init} is not there: build it (ninja -C {build})")
    with open(init, "rb") as f:
        program = f.read()
    parts = os.path.join(folder, "modules")
    os.makedirs(folder, exist_ok=True)
    if not os.path.isdir(parts):
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            kernel, modules = _unpack(_fetch(scratch))
            made = os.path.join(scratch, "modules")
            os.mkdir(made)
            for i, name in enumerate(_order(modules, MODULES)):
                with open(os.path.join(made, f"{i:02d}"), "wb") as f:
                    f.write(modules[name])
            with open(os.path.join(scratch, "vmlinuz"), "wb") as f:
                f.write(kernel)
            os.replace(os.path.join(scratch, "vmlinuz"), paths[0])
            shutil.rmtree(parts, ignore_errors=True)
            os.rename(made, parts)
    entries = [(d, 0o40755, b"", (0, 0)) for d in ("dev", "proc", "sys", "m")]
    entries += [("dev/console", 0o20600, b"", (5, 1)), ("init", 0o100755, program, (0, 0))]
    for name in sorted(os.listdir(parts)):
        with open(os.path.join(parts, name), "rb") as f:
            entries.append((f"m/{name}", 0o100644, f.read(), (0, 0)))
    data = newc(entries)     # not compressed: unpacking would be emulated, too
    if not os.path.exists(paths[1]) or open(paths[1], "rb").read() != data:
        with open(paths[1] + ".new", "wb") as f:
            f.write(data)
        os.replace(paths[1] + ".new", paths[1])
    return paths


if __name__ == "__main__":
    print("\n".join(image(os.environ.get("BERTH_BUILD", os.path.join(ROOT, "build")))))
