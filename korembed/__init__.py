"Tune an embedding model on Korean questions and documents, and prove whether it helped."
__version__ = "0.1.0"
import sys
from importlib import import_module
from types import ModuleType

# The stable names, imported on first use: `import korembed` loads no torch, chromadb or matplotlib.
_names = dict(read_qa='data', make_pairs='data', split='data', TrainingConfig='config', train='training',
              Embedder='model', index='indexing', search='retrieval', evaluate='evaluation', judge='judge')
__all__ = list(_names)

class _Package(ModuleType):
    def __getattr__(self, name):
        if name not in _names: raise AttributeError(f"module 'korembed' has no attribute '{name}'")
        return getattr(import_module(f'korembed.{_names[name]}'), name)

    def __setattr__(self, name, value):
        # importing the module `judge` must not hide the function of that name
        if not (name in _names and isinstance(value, ModuleType)): super().__setattr__(name, value)

    def __dir__(self): return sorted([*super().__dir__(), *_names])

sys.modules[__name__].__class__ = _Package
