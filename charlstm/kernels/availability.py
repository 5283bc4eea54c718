"""What the kernels can compute on this processor."""

from __future__ import annotations

import importlib.util

from charlstm.errors import CompiledCodeError, ProcessorError

# LLVM's features that products of each precision need, on x86.
_FEATURES = {
    "float32": frozenset({"fma", "avx2"}),
    "bfloat16": frozenset({"avx512bf16"}),
    "int8": frozenset({"fma", "avx2"}),
}


def unavailable(precision: str) -> Exception | None:
    """Why the kernels cannot multiply numbers of a precision here; None if they can.

    Nothing is compiled for the answer. LLVM ends the whole process where it is asked for
    instructions that its target lacks, so ask before calling a kernel.

    Args:
        precision: float32, bfloat16 or int8.

    Returns:
        ModuleNotFoundError: numba is not installed.
        ProcessorError: this processor lacks the instructions.
        CompiledCodeError: numba is set up so that it cannot be used: by NUMBA_DISABLE_JIT,
            NUMBA_CPU_NAME or NUMBA_CPU_FEATURES, or without a folder for its
            cache.
    """
    if importlib.util.find_spec("numba") is None:
        return ModuleNotFoundError("numba is not installed (pip install 'charlstm[fast]').")
    try:
        import charlstm.kernels.matmul  # noqa: F401, PLC0415 - imports numba, opens its cache
        from charlstm.kernels.llvm import IS_X86, instructions  # noqa: PLC0415
    except CompiledCodeError as error:
        return error
    if precision == "float32" and not IS_X86:
        return None  # LLVM has a fused multiply-add for each other processor that numba supports
    needed = _FEATURES[precision]
    if missing := needed - instructions(of_host=True):
        return ProcessorError(f"this processor has no {precision} products ({min(missing)}).")
    if not needed <= instructions():
        return CompiledCodeError(
            f"numba is set to a processor without {precision} products (NUMBA_CPU_NAME, "
            "NUMBA_CPU_FEATURES)."
        )
    return None
