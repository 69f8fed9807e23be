"""Reads a pickle as opcodes into an inert tree: nothing is imported, looked up or called.

The stack machine knows the opcodes of protocols 0 to 5. Where a real unpickler would look up a global it notes a
`Global`, where it would call something it notes a `Call`. Sizes are bounded, so that a hostile stream ends in a
sentence and not in a full memory.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from typing import Any, Literal, Protocol

from workers.kit import UserError
from workers.sources.inert import Call, Global, PersistentId, Pickle, Span

MAX_OPCODES = 3_000_000
MAX_INTEGER_BITS = 512
SPAN_BYTES = 1024

# What runs commands or opens files: a weight file has no business to name it.
# fmt: off
DANGEROUS_MODULES = frozenset((
    "os", "posix", "nt", "subprocess", "sys", "runpy", "shutil", "socket", "pty", "webbrowser", "ctypes",
    "importlib", "imp", "pickle", "cPickle", "_pickle", "dill", "cloudpickle", "pip", "code", "codeop", "marshal",
    "asyncio", "multiprocessing", "tempfile", "commands", "pdb", "bdb", "timeit", "cProfile", "profile", "doctest",
    "requests", "urllib", "urllib2", "httplib", "http", "smtplib", "pydoc", "pkgutil",
))
_DANGEROUS_BUILTINS = (
    "eval", "exec", "execfile", "compile", "open", "file", "apply", "__import__", "breakpoint", "input",
)
DANGEROUS_NAMES = frozenset((
    *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in _DANGEROUS_BUILTINS),
    "io.open", "io.open_code", "io.FileIO", "_io.open", "_io.open_code", "_io.FileIO", "_pyio.open", "torch.load",
    "torch.serialization.load", "torch.hub.load", "numpy.load", "numpy.fromfile", "numpy.memmap",
))
# fmt: on


class PickleSource(Protocol):
    """Binary data with a position: `io.BytesIO` or `mmap.mmap`, whose reads never allocate more than is there."""

    def read(self, n: int, /) -> bytes:
        """At most `n` bytes from here on."""

    def readline(self) -> bytes:
        """The bytes up to and with the next line feed."""

    def tell(self) -> int:
        """The position."""


def read_pickle(source: PickleSource, *, label: str) -> Pickle:
    """Read one pickle from the current position of `source`, which then stands behind its STOP.

    label  what the errors call the file
    Strings of Python 2 are read as latin-1. Bytes and texts above 1,024 bytes stay in the source as `Span`.
    Raises UserError if the stream is broken, exceeds a bound, or names a global that runs commands.
    """
    machine = _Machine(source, label)
    start = source.tell()
    try:
        tree = machine.run()
    except UserError:
        raise
    except (ValueError, IndexError, TypeError, UnicodeError, OverflowError, AttributeError) as error:
        raise UserError(
            f"{label} holds a broken or cut-off pickle (byte {start} onwards). Download the file again."
        ) from error
    return Pickle(tree=tree, globals=frozenset(machine.globals), persistent_ids=tuple(machine.persistent_ids))


_MARK = object()
_LENGTH_BYTES: dict[str, tuple[int, Literal["bytes", "latin-1", "utf-8"]]] = {
    "BINBYTES": (4, "bytes"),
    "BINBYTES8": (8, "bytes"),
    "BYTEARRAY8": (8, "bytes"),
    "BINSTRING": (4, "latin-1"),
    "BINUNICODE": (4, "utf-8"),
    "BINUNICODE8": (8, "utf-8"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
# fmt: off
_PLAIN = frozenset((
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING",
    "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "SHORT_BINBYTES",
))
# fmt: on
_DICT_TYPES = frozenset({"collections.OrderedDict", "collections.defaultdict", "builtins.dict", "__builtin__.dict"})


class _Machine:
    """The stack, the memo and the globals seen; one method per opcode family."""

    def __init__(self, source: PickleSource, label: str) -> None:
        self.source = source
        self.label = label
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.globals: set[Global] = set()
        self.persistent_ids: list[PersistentId] = []
        self.handlers: dict[str, Callable[[Any], None]] = {
            "MARK": lambda _: self.stack.append(_MARK),
            "POP": lambda _: self._pop_any(),
            "POP_MARK": lambda _: self._drop(self._items()),
            "DUP": lambda _: self.stack.append(self._top()),
            "EMPTY_DICT": lambda _: self.stack.append({}),
            "EMPTY_LIST": lambda _: self.stack.append([]),
            "EMPTY_SET": lambda _: self.stack.append([]),
            "EMPTY_TUPLE": lambda _: self.stack.append(()),
            "TUPLE": lambda _: self.stack.append(tuple(self._items())),
            "TUPLE1": lambda _: self._tuple(1),
            "TUPLE2": lambda _: self._tuple(2),
            "TUPLE3": lambda _: self._tuple(3),
            "LIST": lambda _: self.stack.append(self._items()),
            "FROZENSET": lambda _: self.stack.append(self._items()),
            "DICT": lambda _: self._dict(),
            "APPEND": lambda _: self._extend([self._pop()]),
            "APPENDS": lambda _: self._extend(self._items()),
            "ADDITEMS": lambda _: self._extend(self._items()),
            "SETITEM": lambda _: self._set_items([self._pop(), self._pop()][::-1]),
            "SETITEMS": lambda _: self._set_items(self._items()),
            "GET": self._get,
            "BINGET": self._get,
            "LONG_BINGET": self._get,
            "PUT": self._put,
            "BINPUT": self._put,
            "LONG_BINPUT": self._put,
            "MEMOIZE": lambda _: self._put(len(self.memo)),
            "GLOBAL": self._global,
            "STACK_GLOBAL": lambda _: self._stack_global(),
            "REDUCE": lambda _: self._reduce(),
            "NEWOBJ": lambda _: self._reduce(),
            "NEWOBJ_EX": lambda _: self._new_object_ex(),
            "INST": self._instance,
            "OBJ": lambda _: self._object(),
            "BUILD": lambda _: self._build(),
            "PERSID": self._refer,
            "BINPERSID": lambda _: self._refer(self._pop()),
            "PROTO": lambda _: None,
            "FRAME": lambda _: None,
        }

    def run(self) -> Any:
        # pickletools types the source as a typed IO; it only calls read, readline and tell.
        source: Any = self.source
        for count, (opcode, argument, position) in enumerate(pickletools.genops(source)):
            if count > MAX_OPCODES:
                raise self._error(
                    f"has more than {MAX_OPCODES:,} pickle operations; that is no weight file. Use another one."
                )
            name = opcode.name
            if name == "STOP":
                return self._pop()
            if name in _LENGTH_BYTES:
                self.stack.append(self._long_value(name, argument, position))
            elif name in _PLAIN:
                if type(argument) is int and argument.bit_length() > MAX_INTEGER_BITS:
                    raise self._error("holds an integer of absurd length; that is no weight file. Use another one.")
                self.stack.append(argument)
            elif name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name])
            elif name in self.handlers:
                self.handlers[name](argument)
            else:
                raise self._error(
                    f"uses the pickle operation {name}, which weight files do not need. Ask for safetensors."
                )
        raise ValueError("no STOP")

    def _error(self, what: str) -> UserError:
        return UserError(f"{self.label} {what}")

    def _long_value(self, name: str, argument: Any, position: int | None) -> Any:
        width, encoding = _LENGTH_BYTES[name]
        if len(argument) <= SPAN_BYTES or position is None:
            return bytes(argument) if isinstance(argument, bytearray) else argument
        here = self.source.tell()
        # The text may have fewer characters than bytes, so the length comes from the stream.
        start = position + 1 + width
        return Span(start, here - start, encoding)

    def _top(self) -> Any:
        if self.stack[-1] is _MARK:
            raise ValueError("mark in the place of a value")
        return self.stack[-1]

    def _pop(self) -> Any:
        value = self._top()
        self.stack.pop()
        return value

    def _pop_any(self) -> None:
        self.stack.pop()

    def _drop(self, items: list[Any]) -> None:
        items.clear()

    def _items(self) -> list[Any]:
        items: list[Any] = []
        while (value := self.stack.pop()) is not _MARK:
            items.append(value)
        items.reverse()
        return items

    def _tuple(self, size: int) -> None:
        items = [self._pop() for _ in range(size)]
        self.stack.append(tuple(reversed(items)))

    def _dict(self) -> None:
        items = self._items()
        self.stack.append({})
        self._set_items(items)

    def _extend(self, items: list[Any]) -> None:
        target = self._top()
        if isinstance(target, list):
            target.extend(items)
        elif isinstance(target, Call):
            target.elements.extend(items)
        else:
            raise TypeError("append to something else than a list")

    def _set_items(self, items: list[Any]) -> None:
        target = self._top()
        target = target.entries if isinstance(target, Call) else target
        if not isinstance(target, dict) or len(items) % 2:
            raise TypeError("item set on something else than a dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Hashing nested tuples that share their parts takes exponential time, so keys are scalars.
            if not isinstance(key, str | bytes | int | float | Global | None):
                raise self._error("has a dictionary key that is neither text nor number. Ask for safetensors.")
            target[key] = value

    def _get(self, index: Any) -> None:
        try:
            self.stack.append(self.memo[int(index)])
        except KeyError:
            raise ValueError("unknown memo index") from None

    def _put(self, index: Any) -> None:
        self.memo[int(index)] = self._top()

    def _global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._add_global(module, name)

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise TypeError("global whose name is no text")
        self._add_global(module, name)

    def _add_global(self, module: str, name: str) -> None:
        if module.partition(".")[0] in DANGEROUS_MODULES or f"{module}.{name}" in DANGEROUS_NAMES:
            raise self._error(
                f"would run {module}.{name} when loaded the usual way. Nothing of it was run here; "
                "do not load it elsewhere, and ask for safetensors."
            )
        found = Global(module, name)
        self.globals.add(found)
        self.stack.append(found)

    def _refer(self, value: Any) -> None:
        found = PersistentId(value)
        self.persistent_ids.append(found)
        self.stack.append(found)

    def _call(self, function: Any, args: Any) -> None:
        if (
            isinstance(function, PersistentId)
            and isinstance(function.value, tuple)
            and function.value[:1] == ("module",)
        ):
            # Legacy torch files name a module's class by ("module", class, source file, source text).
            function = function.value[1]
        if not isinstance(function, Global):
            raise self._error(
                "calls something it computes itself, which weight files do not need. Ask for safetensors."
            )
        if not isinstance(args, tuple):
            raise TypeError("call without a tuple of arguments")
        self.stack.append(Call(function, args))
        if function.path in _DICT_TYPES:
            self._make_dict(args)

    def _make_dict(self, args: tuple[Any, ...]) -> None:
        # OrderedDict([[key, value], ...]) is how Python 2 wrote it; defaultdict(factory) starts empty.
        self.stack[-1] = {}
        pairs = args[0] if args and isinstance(args[0], list | tuple) else []
        self._set_items([part for pair in pairs for part in (pair[0], pair[1])])

    def _reduce(self) -> None:
        args = self._pop()
        self._call(self._pop(), args)

    def _new_object_ex(self) -> None:
        self._pop()
        self._reduce()

    def _instance(self, argument: str) -> None:
        args = tuple(self._items())
        self._global(argument)
        self._call(self._pop(), args)

    def _object(self) -> None:
        function, *args = self._items()
        self._call(function, tuple(args))

    def _build(self) -> None:
        state = self._pop()
        target = self._top()
        # The state of a dictionary (torch keeps `_metadata` there) holds no weights.
        if isinstance(target, Call):
            target.state = state
