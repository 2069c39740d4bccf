# The stubs in OpenCV's wheel refuse what its functions take (one number as a colour or a second operand, None as a
# mask), so pyright reads these instead and leaves OpenCV's calls unchecked.
from typing import Any

def __getattr__(name: str) -> Any: ...
