"""Arrays as the bytes of a .npy file, without objects: the format of NumPy, version 1.0."""

import io

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

Array = NDArray[np.generic]
# What a cohort stores: whole numbers and floats of fixed size, little-endian or single bytes.
KINDS = frozenset({"int8", "int16", "int32", "uint8", "uint16", "uint32", "float16", "float32", "float64"})


def npy_bytes(array: Array) -> bytes:
    """A C-ordered little-endian array as .npy. Raises ValueError for a kind of number that is not in KINDS."""
    _check_kind(array.dtype)
    file = io.BytesIO()
    plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    npy.write_array(file, plain, version=(1, 0), allow_pickle=False)
    return file.getvalue()


def array_of(content: bytes, name: str) -> Array:
    """The array in the bytes of a .npy file, its own copy.

    Raises:
        ValueError: where the bytes are not such a file, hold objects, or are cut off.
    """
    file = io.BytesIO(content)
    try:
        npy.read_magic(file)
        shape, fortran, dtype = npy.read_array_header_1_0(file)
    except ValueError:
        raise ValueError(f"{name} is not an .npy file of version 1.0; it is damaged or of another kind") from None
    _check_kind(dtype)
    wanted = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if len(content) - file.tell() != wanted:
        raise ValueError(f"{name} holds {len(content) - file.tell()} bytes of numbers; its header says {wanted}")
    flat = np.frombuffer(content, dtype=dtype, offset=file.tell())
    order = flat.reshape(shape, order="F" if fortran else "C")
    return order.astype(dtype.newbyteorder("="), order="C", copy=True)


def _check_kind(dtype: np.dtype[np.generic]) -> None:
    if dtype.newbyteorder("=").name not in KINDS:
        raise ValueError(f"the array is of {dtype}; wanted one of {', '.join(sorted(KINDS))}")
