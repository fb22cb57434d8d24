"""A trained model at work: many rows, a server, an ONNX graph, an explanation.

In: a fitted estimator and items.
Out: predictions, an application, files, pictures.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "prediction": ["Throughput", "answers", "predict_file", "predict_stream"],
        "serving": ["Limits", "application", "serve"],
        "onnx": ["export_onnx"],
        "explanation": ["Explanation", "explain"],
    },
)
