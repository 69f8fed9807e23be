"""Which imports of a pickle are known to be harmless, and which run commands or open files.

Only exact names are harmless; a module is never trusted as a whole, because STACK_GLOBAL can reach through its
attributes. What is on neither list is unknown.
"""

from __future__ import annotations

from typing import Literal

from workers.sources.inert import Global
from workers.sources.opcodes import DANGEROUS_MODULES, DANGEROUS_NAMES

# fmt: off
_BUILTINS = (
    "bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "long", "object", "range",
    "set", "slice", "str", "tuple", "unicode", "xrange",
)
_TORCH_TYPES = (
    "bfloat16", "bool", "complex128", "complex32", "complex64", "float16", "float32", "float64", "float8_e4m3fn",
    "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu", "int16", "int32", "int64", "int8", "qint32",
    "qint8", "quint8", "quint4x2", "uint16", "uint32", "uint64", "uint8", "channels_last", "contiguous_format",
    "preserve_format", "strided", "per_tensor_affine", "per_channel_affine",
)
_TORCH_STORAGES = (
    "BFloat16Storage", "BoolStorage", "ByteStorage", "CharStorage", "ComplexDoubleStorage", "ComplexFloatStorage",
    "DoubleStorage", "FloatStorage", "HalfStorage", "IntStorage", "LongStorage", "QInt32Storage", "QInt8Storage",
    "QUInt2x4Storage", "QUInt4x2Storage", "QUInt8Storage", "ShortStorage",
)
_TORCH_REBUILDS = (
    "_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_parameter",
    "_rebuild_parameter_with_state", "_rebuild_qtensor", "_rebuild_sparse_tensor",
)
# Layers as pickled with whole modules (`torch.save(model)`): each is a class of torch.nn whose state is data.
_TORCH_LAYERS = {
    "activation": ("CELU", "ELU", "GELU", "GLU", "Hardsigmoid", "Hardswish", "Hardtanh", "LeakyReLU", "LogSigmoid",
                   "LogSoftmax", "Mish", "MultiheadAttention", "PReLU", "ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid",
                   "Softmax", "Softplus", "Tanh"),
    "batchnorm": ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm"),
    "container": ("ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"),
    "conv": ("Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"),
    "dropout": ("AlphaDropout", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d"),
    "flatten": ("Flatten", "Unflatten"),
    "instancenorm": ("InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"),
    "linear": ("Bilinear", "Identity", "Linear"),
    "normalization": ("CrossMapLRN2d", "GroupNorm", "LayerNorm", "LocalResponseNorm", "RMSNorm"),
    "padding": ("ConstantPad1d", "ConstantPad2d", "ReflectionPad1d", "ReflectionPad2d", "ReplicationPad1d",
                "ReplicationPad2d", "ZeroPad2d"),
    "pixelshuffle": ("PixelShuffle", "PixelUnshuffle"),
    "pooling": ("AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d", "AdaptiveMaxPool1d",
                "AdaptiveMaxPool2d", "AvgPool1d", "AvgPool2d", "AvgPool3d", "MaxPool1d", "MaxPool2d", "MaxPool3d"),
    "rnn": ("GRU", "LSTM", "RNN"),
    "sparse": ("Embedding", "EmbeddingBag"),
    "transformer": ("Transformer", "TransformerDecoder", "TransformerDecoderLayer", "TransformerEncoder",
                    "TransformerEncoderLayer"),
    "upsampling": ("Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d"),
}
_NUMPY_SCALARS = (
    "bool_", "complex128", "complex64", "float16", "float32", "float64", "int16", "int32", "int64", "int8", "uint16",
    "uint32", "uint64", "uint8",
)
HARMLESS = frozenset((
    *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in _BUILTINS),
    "_codecs.encode", "collections.Counter", "collections.OrderedDict", "collections.defaultdict", "collections.deque",
    "copy_reg._reconstructor", "copyreg._reconstructor", "datetime.date", "datetime.datetime", "datetime.timedelta",
    "decimal.Decimal", "fractions.Fraction", "pathlib.PosixPath", "pathlib.PurePosixPath",
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    "numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer", "numpy.dtype", "numpy.ndarray",
    *(f"numpy.{name}" for name in _NUMPY_SCALARS),
    "ml_dtypes.bfloat16", "ml_dtypes.float8_e4m3fn", "ml_dtypes.float8_e5m2",
    *(f"torch.{name}" for name in (*_TORCH_TYPES, *_TORCH_STORAGES)),
    "torch.Size", "torch.Tensor", "torch.device", "torch._tensor._rebuild_from_type_v2",
    "torch.nn.parameter.Buffer", "torch.nn.parameter.Parameter", "torch.serialization._get_layout",
    "torch.storage.TypedStorage", "torch.storage.UntypedStorage", "torch.storage._TypedStorage",
    "torch.storage._UntypedStorage",
    *(f"torch._utils.{name}" for name in _TORCH_REBUILDS),
    *(f"torch.nn.modules.{module}.{name}" for module, names in _TORCH_LAYERS.items() for name in names),
))

# Beside those of workers.sources.opcodes. Every module below one of these counts as well.
_MORE_MODULES = frozenset((
    "_aix_support", "_io", "_osx_support", "_posixsubprocess", "_pyrepl", "_socket", "_winapi", "aiohttp", "cffi",
    "cgitb", "compileall", "concurrent", "distutils", "docker", "ensurepip", "fabric", "fileinput", "ftplib", "idlelib",
    "imaplib", "jsonpickle", "lib2to3", "linecache", "modulefinder", "nntplib", "paramiko", "poplib", "popen2",
    "psutil", "py_compile", "rlcompleter", "setuptools", "shelve", "smtpd", "socketserver", "sqlite3", "ssl", "tarfile",
    "telnetlib", "test", "trace", "urllib3", "venv", "wsgiref", "xmlrpc", "zipapp", "zipfile", "zipimport",
))
_MORE_ROOTS = (
    "logging.config", "numpy.ctypeslib", "numpy.distutils", "numpy.f2py", "numpy.testing", "torch._dynamo",
    "torch._inductor", "torch.fx.experimental", "torch.hub", "torch.jit.unsupported_tensor_ops",
    "torch.multiprocessing", "torch.package", "torch.utils._config_module", "torch.utils.bottleneck",
    "torch.utils.collect_env", "torch.utils.cpp_extension",
)
_MORE_NAMES = frozenset((
    *(f"{module}.{name}" for module in ("builtins", "__builtin__")
      for name in ("getattr", "setattr", "delattr", "globals", "locals", "vars", "raw_input", "memoryview")),
    *(f"{module}.{name}" for module in ("operator", "_operator")
      for name in ("attrgetter", "itemgetter", "methodcaller", "call")),
    "functools.partial", "functools.partialmethod", "functools.reduce", "_functools.partial", "_functools.reduce",
    "io.TextIOWrapper", "itertools.starmap", "joblib.load", "joblib.numpy_pickle.load", "logging.FileHandler",
    "numpy.genfromtxt", "numpy.lib.npyio.load", "numpy.loads", "numpy.loadtxt", "numpy.save", "numpy.savetxt",
    "numpy.savez", "numpy.core.memmap.memmap", "pandas.eval", "pandas.io.pickle.read_pickle", "pandas.read_pickle",
    "pathlib.Path.open", "platform.popen", "torch._ops.load_library", "torch.classes.load_library", "torch.compile",
    "torch.from_file", "torch.jit._serialization.load", "torch.jit.load", "torch.ops.load_library", "torch.save",
    "torch.serialization.save", "types.CodeType", "types.FunctionType",
))
_WAYS_IN = frozenset((
    "__base__", "__bases__", "__builtins__", "__call__", "__class__", "__code__", "__dict__", "__func__",
    "__getattribute__", "__globals__", "__import__", "__init__", "__loader__", "__mro__", "__reduce__", "__spec__",
    "__subclasses__",
))
# fmt: on
Kind = Literal["harmless", "flagged", "unlisted"]


def import_kind(found: Global) -> Kind:
    """Whether a name that an unpickler would import is known to be harmless, runs commands or opens files, or neither.

    Dotted names (`module "a", name "b.c"`) count for each of the ways in which they can be read.
    """
    path = found.path
    # Exact parts: `builtins` with the name `dict.get` is not `builtins.dict`, and neither is `torch.nn` with `x.y`.
    if path in HARMLESS and "." not in found.name:
        return "harmless"
    parts = path.split(".")
    prefixes = {".".join(parts[:count]) for count in range(1, len(parts) + 1)}
    is_flagged = (
        parts[0] in DANGEROUS_MODULES
        or parts[0] in _MORE_MODULES
        or not prefixes.isdisjoint(_MORE_ROOTS)
        or not prefixes.isdisjoint(DANGEROUS_NAMES)
        or not prefixes.isdisjoint(_MORE_NAMES)
        # A way in through any object: `torch.nn.modules.module` with the name `os.system` or `__globals__`.
        or any(part in DANGEROUS_MODULES for part in found.name.split(".")[:-1])
        or not _WAYS_IN.isdisjoint(found.name.split("."))
    )
    return "flagged" if is_flagged else "unlisted"
