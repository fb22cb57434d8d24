"""One training step of the published model in ours and in rivals: each peer is a short function over our circuit table.

In: a model (its numbers), embeddings and labels. Out: a step to call, which returns the loss and every gradient.
`python peers.py PEER QUBITS SECONDS THREADS DEVICE`, which step.py runs, times one peer and prints a line of JSON.
"""

import functools
import itertools
import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hilbertune.circuit.kinds import Operation
from hilbertune.circuit.table import Circuit
from hilbertune.config.records import HeadConfig
from hilbertune.engine import sampling
from hilbertune.model import optimiser, tasks
from hilbertune.model.fused import Fused
from hilbertune.model.layers import HybridHead
from hilbertune.runtime.provenance import environment

Step = Callable[[], tuple[float, dict[str, Any]]]
BATCH, FEATURES = 16, 768


class Skipped(Exception):
    """A peer that is not worth running here, and why."""


def shape_for(qubits: int) -> HeadConfig:
    """Return the yardstick: R=4, N=1, M=2, C=1, one encoder of 2 layers.

    A state of fewer than 768 amplitudes takes the first numbers.
    """
    return HeadConfig(
        qubits=qubits,
        encoder_layers=2,
        encoder_connectivity=1,
        padding="zero",
        basis="raw",
        projection="truncate" if 1 << qubits < FEATURES else None,
    )


def start(qubits: int) -> tuple[HybridHead, Tensor, Tensor]:
    """Return the same model, embeddings and labels in every process."""
    torch.manual_seed(0)
    model = HybridHead(FEATURES, 2, shape_for(qubits))
    torch.manual_seed(1)
    return model, torch.randn(BATCH, FEATURES), torch.randint(0, 2, (BATCH,))


def trained(model: HybridHead, y: Tensor, logits: Callable[[], Tensor]) -> Step:
    """Return a step of a peer that autograd can differentiate."""

    def loss() -> Tensor:
        return functional.cross_entropy(logits(), y)

    def step() -> tuple[float, dict[str, Any]]:
        model.zero_grad()
        value = loss()
        value.backward()
        return float(value.detach()), {n: p.grad for n, p in model.named_parameters()}

    step.loss = loss  # type: ignore[attr-defined]
    return step


def with_circuits(
    model: HybridHead,
    x: Tensor,
    y: Tensor,
    encode: Callable[[Tensor, Tensor], Tensor],
    read: Callable[[Tensor, Tensor], Tensor],
) -> Step:
    """Return a step of a peer that runs the two circuits.

    They are (weights, states) → <Z> of all qubits, and (weights, angles) → <Z> of qubit 0.
    """

    def logits() -> Tensor:
        states = loaded(model, x)
        angles = model.config.angle_scale * encode(model.encoder.weights[0, 0], states)
        value = read(model.head.weights[0], angles)[:, None].to(x.dtype)
        return value * model.linear_weight[0, :, 0] + model.linear_bias[0]

    return trained(model, y, logits)


def loaded(model: HybridHead, x: Tensor) -> Tensor:
    """Normalised states [batch, 2^qubits], zero-padded."""
    states = model.loading(x[None])[0]
    return functional.pad(states, (0, (1 << model.config.qubits) - states.shape[1]))


class Epoch:
    """Ours as `train` runs it: many steps in one call, each with its step of Adam, here at a learning rate of 0."""

    def __init__(self, model: HybridHead, x: Tensor, y: Tensor, shots: int | None = None) -> None:
        self.steps = 28 if model.config.qubits <= 12 else 1
        drawn = None if shots is None else (shots, np.array([[1, 2]]))
        self.model, self.fused = model, Fused(model, x, y, shots=drawn)
        self.order = np.tile(np.arange(len(x)), (1, self.steps))

    def __call__(self) -> tuple[float, dict[str, Any]]:
        moments = np.zeros_like(self.fused.weights), np.zeros_like(self.fused.weights)
        rates, zero, active = np.zeros((self.steps, 1)), np.zeros(1), np.ones(1, bool)
        loss = self.fused.train(self.order, BATCH, moments, 0, rates, zero, active)
        # From a start of 0 the first moment after n steps of the same gradient is (1 - 0.9^n) of it.
        flat = torch.from_numpy(moments[0]) / (1 - 0.9**self.steps)
        sizes = [p.numel() for p in self.model.parameters()]
        named = zip(self.model.named_parameters(), flat.split(sizes, 1), strict=True)
        return loss[0] / self.order.size, {n: g.view(p.shape) for (n, p), g in named}


class Replays:
    """Ours as `train` runs it on a GPU: steps of one captured graph, each with its step of Adam at a rate of 0."""

    steps = 28

    def __init__(self, model: HybridHead, x: Tensor, y: Tensor, shots: int | None = None) -> None:
        weights = optimiser.as_one_tensor(model)
        learns = torch.ones(weights.shape[1], dtype=torch.bool)
        self.model, self.tensors = model, {"weights": weights, **optimiser.moments(weights, learns)}

        def loss(logits: Tensor, rows: Tensor) -> Tensor:
            return tasks.losses("classification", logits, y[rows])

        plain = functools.partial(optimiser.step, model, x, loss, self.tensors)
        self.step = optimiser.Replayed(plain, [self.tensors[name] for name in optimiser.CHANGED])
        self.batch = torch.arange(len(x), device=x.device)[None]
        self.settings = weights.new_tensor([[0.0], [0.0], [1.0]])
        if shots is not None:
            model.head.shots = shots
            model.head.rngs = sampling.counter([np.random.default_rng(0)], self.tensors["steps"])

    def __call__(self) -> tuple[float, dict[str, Any]]:
        for name in ("first_moment", "second_moment", "steps"):
            self.tensors[name].zero_()
        for _ in range(self.steps):
            loss = self.step(self.batch, self.settings)
        # From a start of 0 the first moment after n steps of the same gradient is (1 - 0.9^n) of it.
        flat = self.tensors["first_moment"] / (1 - 0.9**self.steps)
        return float(loss) / len(self.batch[0]), optimiser.views(self.model, flat)


def module(model: HybridHead, x: Tensor, y: Tensor) -> Step:
    """Ours as a torch module, with torch's autograd around it."""
    return trained(model, y, lambda: model(x))


def plain_torch(model: HybridHead, x: Tensor, y: Tensor) -> Step:
    """Run the gates in a loop in real float32, by views of the state and autograd.

    Samples lie side by side in memory, so that every operation runs over contiguous numbers.
    """

    def run(circuit: Circuit, weights: Tensor, inputs: Tensor | None, states: Tensor) -> Tensor:
        batch = states.shape[0]
        state = states.T.contiguous()
        for operation in circuit.operations:
            low = 1 << min(operation.qubits)
            if operation.control is None:
                angle = _angle(operation, weights, inputs) / 2
                c, s = angle.cos(), angle.sin()
                a, b = state.view(-1, 2, low, batch).unbind(1)
                state = torch.stack([c * a - s * b, s * a + c * b], 1)
            else:
                between = 1 << (abs(operation.control - operation.target) - 1)
                axis = 1 if operation.control > operation.target else 3
                idle, active = state.view(-1, 2, between, 2, low, batch).unbind(axis)
                state = torch.stack([idle, active.flip(2 if axis == 1 else 1)], axis)
        return state.reshape(-1, batch).square()

    def z(probabilities: Tensor, qubit: int) -> Tensor:
        halves = probabilities.view(-1, 2, 1 << qubit, probabilities.shape[1]).sum((0, 2))
        return halves[0] - halves[1]

    def encode(weights: Tensor, states: Tensor) -> Tensor:
        probabilities = run(model.encoder.circuit, weights, None, states)
        return torch.stack([z(probabilities, q) for q in range(model.config.qubits)], 1)

    def read(weights: Tensor, angles: Tensor) -> Tensor:
        zeros = functional.one_hot(angles.new_zeros(len(angles)).long(), 1 << model.config.qubits)
        return z(run(model.head.circuit, weights, angles, zeros.to(angles.dtype)), 0)

    return with_circuits(model, x, y, encode, read)


def torch_graph(model: HybridHead, x: Tensor, y: Tensor) -> Step:
    """Capture the same, forward and backward, in one CUDA graph, so that the host's launches cost nothing.

    Never run by us.
    """
    parameters = dict(model.named_parameters())
    value = torch.zeros((), device=x.device)
    gradients = {name: torch.zeros_like(p) for name, p in parameters.items()}
    plain = plain_torch(model, x, y)

    def once() -> None:
        loss = plain.loss()  # type: ignore[attr-defined]
        found = torch.autograd.grad(loss, list(parameters.values()))
        value.copy_(loss.detach())
        for name, gradient in zip(parameters, found, strict=True):
            gradients[name].copy_(gradient)

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            once()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        once()

    def step() -> tuple[float, dict[str, Any]]:
        graph.replay()
        return float(value), gradients

    return step


def _angle(operation: Operation, weights: Any, inputs: Any) -> Any:
    """One number, or one for each sample of inputs [batch, inputs]."""
    if operation.weight is not None:
        return weights[operation.weight]
    return inputs[:, operation.input]


def pennylane(
    model: HybridHead,
    x: Tensor,
    y: Tensor,
    device: str = "default.qubit",
    **settings: Any,
) -> Step:
    """PennyLane with its torch interface; default.qubit back-propagates through a broadcast batch."""
    import pennylane as qml

    qubits = model.config.qubits
    encoder, head = model.encoder.circuit.to_pennylane(), model.head.circuit.to_pennylane()
    settings = settings or {"diff_method": "backprop"}
    dtype = {} if device == "default.qubit" else {"c_dtype": np.complex64}
    simulator = qml.device(device, wires=qubits, **dtype)

    @qml.qnode(simulator, interface="torch", **settings)
    def encode(weights: Tensor, amplitudes: Tensor) -> Any:
        encoder(weights, None, amplitudes)
        return [qml.expval(qml.PauliZ(q)) for q in range(qubits)]

    @qml.qnode(simulator, interface="torch", **settings)
    def read(weights: Tensor, angles: Tensor) -> Any:
        head(weights, angles.T)
        return qml.expval(qml.PauliZ(0))

    return with_circuits(model, x, y, lambda w, s: torch.stack(encode(w, s), 1), read)


def lightning(model: HybridHead, x: Tensor, y: Tensor, device: str = "lightning.qubit") -> Step:
    """PennyLane's compiled simulators, adjoint in complex64.

    PennyLane splits the batch into a circuit for each sample; device_vjp=True spares the Jacobian of all expectations.
    """
    return pennylane(model, x, y, device, diff_method="adjoint", device_vjp=True)


def tensorcircuit(model: HybridHead, x: Tensor, y: Tensor) -> Step:
    """TensorCircuit-NG in JAX: the whole step under jit and vmap, complex64, plain contractor.

    Up to 10 qubits all gates are unrolled on a CPU. Above that, and on a GPU, XLA needs many minutes to compile them,
    so that the head's repeated blocks run in lax.scan, which compiles sooner and takes up to 1.5 times as long.
    """
    import jax
    import jax.numpy as jnp
    import tensorcircuit as tc

    tc.set_backend("jax")
    tc.set_contractor("plain")
    qubits = model.config.qubits
    numbers = {n: jnp.asarray(p.detach().cpu().numpy()) for n, p in model.named_parameters()}
    labels = jnp.asarray(y.cpu().numpy())
    # TensorCircuit's qubit 0 is the most significant bit.
    axes = [0, *range(qubits, 0, -1)]
    states = loaded(model, x).view(BATCH, *[2] * qubits).permute(axes).reshape(BATCH, -1)
    states = jnp.asarray(states.cpu().numpy(), jnp.complex64)

    def apply(operations: Any, weights: Any, inputs: Any, state: Any) -> Any:
        made = tc.Circuit(qubits, inputs=state)
        for o in operations:
            if o.control is not None:
                made.cnot(o.control, o.target)
            else:
                angle = weights[o.weight] if o.weight is not None else inputs[o.input]
                made.ry(o.target, theta=angle)
        return made

    def run(circuit: Circuit, weights: Any, inputs: Any, state: Any) -> Any:
        length, repeats = repeated(circuit.operations) if qubits > 10 or x.is_cuda else (0, 0)
        first = circuit.operations[: length * repeats]
        if first:
            used = np.array([o.weight for o in first if o.weight is not None]).reshape(repeats, -1)
            numbers = iter(range(used.shape[1]))
            block = [o if o.weight is None else o._replace(weight=next(numbers)) for o in first[:length]]

            def body(state: Any, weights: Any) -> Any:
                return apply(block, weights, inputs, state).state(), None

            state, _ = jax.lax.scan(body, state, weights[used])
        return apply(circuit.operations[len(first) :], weights, inputs, state)

    def sample(p: Any, state: Any, label: Any) -> Any:
        encoded = run(model.encoder.circuit, p["encoder.weights"][0, 0], None, state)
        z = [jnp.real(encoded.expectation_ps(z=[q])) for q in range(qubits)]
        angles = model.config.angle_scale * jnp.stack(z)
        zero = jnp.zeros(1 << qubits, jnp.complex64).at[0].set(1)
        value = run(model.head.circuit, p["head.weights"][0], angles, zero).expectation_ps(z=[0])
        logits = jnp.real(value) * p["linear_weight"][0, :, 0] + p["linear_bias"][0]
        return -jax.nn.log_softmax(logits)[label]

    def loss(p: Any, states: Any) -> Any:
        return jax.vmap(sample, (None, 0, 0))(p, states, labels).mean()

    compiled = jax.jit(jax.value_and_grad(loss))

    def step() -> tuple[float, dict[str, Any]]:
        value, gradients = jax.block_until_ready(compiled(numbers, states))
        return float(value), gradients

    return step


def repeated(operations: tuple[Operation, ...]) -> tuple[int, int]:
    """Return length and count of the block that the table starts with again and again, weights aside, or (0, 0)."""
    plain = [o._replace(weight=None if o.weight is None else 0) for o in operations]
    best = (0, 0)
    for length in range(1, len(plain) // 2 + 1):
        count = 1
        while plain[count * length : (count + 1) * length] == plain[:length]:
            count += 1
        if count > 1 and count * length > best[0] * best[1]:
            best = (length, count)
    return best


def deepquantum(model: HybridHead, x: Tensor, y: Tensor) -> Step:
    """DeepQuantum: complex64, autograd; the encoder takes a batch of states, the head runs under vmap."""
    import deepquantum as dq

    last = model.config.qubits - 1  # DeepQuantum's wire 0 is the most significant bit.

    def build(circuit: Circuit, measured: range) -> Any:
        made = dq.QubitCircuit(circuit.qubits)
        for o in circuit.operations:
            if o.control is not None:
                made.cnot(last - o.control, last - o.target)
            else:
                made.ry(last - o.target, encode=True)
        for qubit in measured:
            made.observable(last - qubit)
        return made

    def angles(circuit: Circuit, weights: Tensor, inputs: Tensor | None) -> list[Tensor]:
        return [_angle(o, weights, inputs) for o in circuit.operations if o.kind == "ry"]

    encoder = build(model.encoder.circuit, range(model.config.qubits))
    head = build(model.head.circuit, range(1))

    def encode(weights: Tensor, states: Tensor) -> Tensor:
        encoder(
            torch.stack(angles(model.encoder.circuit, weights, None)),
            states.to(torch.complex64)[..., None],
        )
        return encoder.expectation()

    def read(weights: Tensor, inputs: Tensor) -> Tensor:
        columns = angles(model.head.circuit, weights, inputs)
        head(torch.stack([column.expand(BATCH) for column in columns], 1))
        return head.expectation()[:, 0]

    return with_circuits(model, x, y, encode, read)


def qiskit_ml(model: HybridHead, x: Tensor, y: Tensor) -> Step:
    """Qiskit Machine Learning's TorchConnector, exact, parameter-shift.

    The head alone, with gradients to its angles: Qiskit's raw_feature_vector has no gradient, so that the encoder
    cannot be trained.
    """
    if model.config.qubits > 6:
        raise Skipped("a step of the head alone takes minutes above 6 qubits")
    from qiskit.primitives import StatevectorEstimator
    from qiskit.quantum_info import SparsePauliOp
    from qiskit_machine_learning.connectors import TorchConnector
    from qiskit_machine_learning.neural_networks import EstimatorQNN

    circuit = model.head.circuit.to_qiskit()
    network = EstimatorQNN(
        circuit=circuit,
        observables=SparsePauliOp.from_sparse_list([("Z", [0], 1.0)], model.config.qubits),
        input_params=[p for p in circuit.parameters if p.name.startswith("x")],
        weight_params=[p for p in circuit.parameters if p.name.startswith("w")],
        input_gradients=True,
        estimator=StatevectorEstimator(),
        default_precision=0.0,
    )
    layer = TorchConnector(network, initial_weights=model.head.weights[0].detach().numpy())
    angles = model.angles(x)[0].detach().requires_grad_()
    linear = {"linear_weight": model.linear_weight, "linear_bias": model.linear_bias}

    def step() -> tuple[float, dict[str, Any]]:
        layer.zero_grad()
        model.zero_grad()
        logits = layer(angles) * model.linear_weight[0, :, 0] + model.linear_bias[0]
        loss = functional.cross_entropy(logits, y)
        loss.backward()
        gradients = {name: p.grad for name, p in linear.items()}
        return float(loss.detach()), {"head.weights": layer.weight.grad[None], **gradients}

    return step


def lightning_gpu(model: HybridHead, x: Tensor, y: Tensor) -> Step:
    """PennyLane's lightning.gpu. Never run by us: written without a GPU."""
    return lightning(model.cpu(), x.cpu(), y.cpu(), "lightning.gpu")


def cuda_q(model: HybridHead, x: Tensor, y: Tensor, target: str = "nvidia") -> Step:
    """CUDA-Q: observe for each sample, parameter-shift (it has no adjoint gradient).

    Never run by us on a GPU; with target="qpp-cpu" it agrees at 2 and 3 qubits.
    """
    import cudaq

    cudaq.set_target(target)
    model, x, y = model.cpu(), x.cpu(), y.cpu()

    def build(circuit: Circuit) -> Any:
        kernel, theta, ket = cudaq.make_kernel(list[float], cudaq.State)
        register, numbers = kernel.qalloc(ket), itertools.count()
        for o in circuit.operations:
            if o.control is not None:
                kernel.cx(register[o.control], register[o.target])
            else:
                kernel.ry(theta[next(numbers)], register[o.target])
        return kernel

    def run(kernel: Any, measured: range, kets: np.ndarray, angles: Tensor) -> Tensor:
        """Return expectations [batch, measured] of angles [batch, rotations]."""
        observed = [cudaq.spin.z(q) for q in measured]
        rows = []
        for ket, row in zip(kets, angles.tolist(), strict=True):
            values = cudaq.observe(kernel, observed, row, cudaq.State.from_data(ket))
            rows.append([value.expectation() for value in values])
        return torch.tensor(rows)

    class Shifted(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, angles: Tensor, run: Callable[[Tensor], Tensor]) -> Tensor:
            ctx.angles, ctx.run = angles, run
            return run(angles)

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Any:
            columns = []
            for shift in math.pi / 2 * torch.eye(ctx.angles.shape[1]):
                slope = (ctx.run(ctx.angles + shift) - ctx.run(ctx.angles - shift)) / 2
                columns.append((slope * gradient).sum(1))
            return torch.stack(columns, 1), None

    def values(circuit: Circuit, run: Any, weights: Tensor, inputs: Tensor | None) -> Tensor:
        columns = [_angle(o, weights, inputs) for o in circuit.operations if o.kind == "ry"]
        return Shifted.apply(torch.stack([column.expand(BATCH) for column in columns], 1), run)

    encoder, head, qubits = model.encoder.circuit, model.head.circuit, model.config.qubits
    zero = np.zeros((BATCH, 1 << qubits), cudaq.complex())
    zero[:, 0] = 1
    run_encoder = functools.partial(run, build(encoder), range(qubits))
    run_head = functools.partial(run, build(head), range(1), zero)

    def encode(weights: Tensor, states: Tensor) -> Tensor:
        kets = states.numpy().astype(cudaq.complex())
        return values(encoder, functools.partial(run_encoder, kets), weights, None)

    def read(weights: Tensor, angles: Tensor) -> Tensor:
        return values(head, run_head, weights, angles)[:, 0]

    return with_circuits(model, x, y, encode, read)


PEERS: dict[str, dict[str, Callable[[HybridHead, Tensor, Tensor], Step]]] = {
    "cpu": {
        "hilbertune": Epoch,
        "hilbertune-module": module,
        "torch": plain_torch,
        "pennylane": pennylane,
        "lightning": lightning,
        "tensorcircuit": tensorcircuit,
        "deepquantum": deepquantum,
        "qiskit-ml": qiskit_ml,
    },
    "cuda": {
        "hilbertune": Replays,
        "hilbertune-module": module,
        "torch": plain_torch,
        "torch-graph": torch_graph,
        "tensorcircuit": tensorcircuit,
        "lightning.gpu": lightning_gpu,
        "cuda-q": cuda_q,
    },
}


def measure(name: str, qubits: int, seconds: float, device: str) -> dict[str, Any]:
    """Return times of warm steps, peak memory above that of torch and our table alone, loss and gradients."""
    before = peak_memory(device)
    model, x, y = start(qubits)
    step = PEERS[device][name](model.to(device), x.to(device), y.to(device))
    started = time.perf_counter()
    loss, gradients = step()
    first = time.perf_counter() - started
    answer = {n: g.cpu() if isinstance(g, Tensor) else np.array(g) for n, g in gradients.items()}
    times = [time / getattr(step, "steps", 1) for time in timed(step, seconds, device)]
    low, middle, high = statistics.quantiles(times, n=4)
    return {
        "ms": 1e3 * middle,
        "quartiles_ms": [1e3 * low, 1e3 * high],
        "steps": len(times),
        "first_step_s": first,
        "memory_mb": peak_memory(device) - before,
        "loss": loss,
        "gradients": {n: g.tolist() for n, g in answer.items()},
    }


def timed(call: Callable[[], Any], seconds: float, device: str) -> list[float]:
    """Seconds of each call: at least 3 calls, and `seconds` in all."""
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        started = time.perf_counter()
        call()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return times


def machine(seconds: float, device: str) -> dict[str, Any]:
    """Measure what the machine itself can do with these threads: a 1024³ matrix product, a stream triad over 384 MiB.

    The best of several counts.
    """
    a, b, c = (torch.rand(1024, 1024, device=device) for _ in range(3))
    sgemm = min(timed(lambda: torch.mm(a, b, out=c), seconds, device))
    u, v, w = (torch.rand(1 << 25, device=device) for _ in range(3))
    triad = min(timed(lambda: torch.add(v, w, alpha=3.0, out=u), seconds, device))
    return {
        "sgemm_gflops": 2 * 1024**3 / sgemm / 1e9,
        "triad_gb_s": 3 * 4 * u.numel() / triad / 1e9,
        "environment": environment(),
    }


def peak_memory(device: str) -> float:
    """MB: of the process, or what torch's tensors took on the GPU."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 1e6
    try:
        # Unlike ru_maxrss, this is not inherited from the process that started us.
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if "VmHWM" in line) * 1024 / 1e6
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # macOS counts bytes


def main(name: str, qubits: str, seconds: str, threads: str, device: str) -> None:
    torch.set_num_threads(int(threads))
    try:
        if name == "machine":
            answer = machine(float(seconds), device)
        else:
            answer = measure(name, int(qubits), float(seconds), device)
    except Skipped as reason:
        answer = {"why": f"skipped: {reason}"}
    except ModuleNotFoundError as error:
        package = "'hilbertune[bench]'" if device == "cpu" else error.name
        answer = {"why": f"not installed: pip install {package}"}
    print("\n" + json.dumps(answer))


if __name__ == "__main__":
    main(*sys.argv[1:])
