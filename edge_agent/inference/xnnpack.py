"""The XNNPACK delegate that lies inside tflite-runtime, with its 8-bit kernels switched on.

tflite-runtime applies XNNPACK by itself, but was built to leave 8-bit models to older kernels.
Those are ten times slower on x86-64, and they round differently from microcontrollers and from
ai-edge-litert: keyword spotting gives 7 of 1,000 other answers. The 8-bit kernels are in the
library all the same; a flag of its C interface turns them on. Source:
tensorflow/lite/delegates/xnnpack/xnnpack_delegate.h of TensorFlow 2.14.
"""

from __future__ import annotations

import ctypes

# TFLITE_XNNPACK_DELEGATE_FLAG_QS8 and _QU8: models in int8 and in uint8.
_EIGHT_BIT = 0x1 | 0x2


class _Options(ctypes.Structure):
    # TfLiteXNNPackDelegateOptions: what follows the flags is zero by default, and differs between
    # versions; room is left for it.
    _fields_ = (
        ("num_threads", ctypes.c_int32),
        ("flags", ctypes.c_uint32),
        ("others", ctypes.c_uint64 * 8),
    )


class XnnpackDelegate:
    """What the runtime's `Interpreter` takes in `experimental_delegates`.

    It must live for as long as the interpreter. Raises AttributeError or OSError where `library`,
    the path of the runtime's shared object, has no such delegate.
    """

    def __init__(self, library: str, threads: int) -> None:
        self._library = ctypes.PyDLL(library)
        create = self._library.TfLiteXNNPackDelegateCreate
        create.argtypes = (ctypes.POINTER(_Options),)
        create.restype = ctypes.c_void_p
        self._delete = self._library.TfLiteXNNPackDelegateDelete
        self._delete.argtypes = (ctypes.c_void_p,)
        self._delete.restype = None
        self._pointer: int | None = create(ctypes.byref(_Options(threads, _EIGHT_BIT)))

    def _get_native_delegate_pointer(self) -> int | None:
        """Return the TfLiteDelegate*; the runtime asks for it by this name."""
        return self._pointer

    def close(self) -> None:
        """Free the delegate; the interpreter that used it must be gone."""
        pointer, self._pointer = self._pointer, None
        if pointer is not None:
            self._delete(pointer)
