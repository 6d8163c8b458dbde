"""The PyTorch side of benchmarks/device.py: losses, and training steps of both networks.

It answers names on standard input (`turns.serve`): a loss with the seconds of each peer, a training
step with the seconds of a step, the number of parameters and how it ran.
"""

import argparse
import pathlib
from collections.abc import Callable

import torch
import torch.nn.functional as F
from device_sizes import CLASSES, FULL, SMALL, Network
from turns import best_seconds, serve


def build(network: Network) -> torch.nn.Module:
    """The twin of segjax's network."""
    if network.kind == "CellposeUNet":
        from torch_cellpose import CellposeUNet

        return CellposeUNet(network.channels, network.features, 1)
    from torch_plain_unet import PlainUNet

    return PlainUNet(network.channels, network.features, CLASSES)


def loss_of(network: Network, net: torch.nn.Module) -> Callable:
    """`loss(image, target)`: squared error of the heat map, or cross entropy at every head."""
    if network.kind == "CellposeUNet":
        return lambda image, target: F.mse_loss(net(image)[0], target)

    def loss(image: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        total = 0.0
        for i, (weight, logits) in enumerate(zip(network.head_weights, net(image), strict=True)):
            total = total + weight * F.cross_entropy(logits, labels[:, :: 2**i, :: 2**i])
        return total

    return loss


def batch_of(network: Network, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """A random image, channels last, and its target."""
    shape = (network.batch, network.channels, network.pixels, network.pixels)
    image = torch.rand(shape, device=device).to(memory_format=torch.channels_last)
    if network.kind == "CellposeUNet":
        return image, torch.rand((shape[0], 1, *shape[2:]), device=device)
    return image, torch.randint(CLASSES, (shape[0], *shape[2:]), device=device)


class Step:
    """Training steps of one network in one precision: SGD with momentum, autocast for bf16.

    Attributes:
        how: 'compiled', or 'eager' and why.
        parameters: of the network.
    """

    def __init__(self, network: Network, dtype: str, device: str, compiled: bool, queue: int):
        torch.manual_seed(0)
        self._device, self._queue, self._half = device, queue, dtype == "bfloat16"
        net = build(network).to(device, memory_format=torch.channels_last).train()
        self.parameters = sum(p.numel() for p in net.parameters())
        self._optimizer = torch.optim.SGD(
            net.parameters(), lr=0.01, momentum=0.9, fused=device == "cuda" or None
        )
        self._batch = batch_of(network, device)
        self._loss, self.how = loss_of(network, net), "eager, as asked"
        if compiled:
            self._try_to_compile()

    def _try_to_compile(self) -> None:
        eager, self.how = self._loss, "compiled"
        self._loss = torch.compile(eager)
        try:
            self()
        except Exception as error:  # whatever its compilers raise, the eager step is still a peer
            torch._dynamo.reset()
            self._loss, self.how = eager, f"eager: torch.compile failed ({one_line(error)})"

    def __call__(self) -> None:
        """A queue of steps, waited for."""
        for _ in range(self._queue):
            self._optimizer.zero_grad(set_to_none=True)
            with torch.autocast(self._device, torch.bfloat16, enabled=self._half):
                loss = self._loss(*self._batch)
            loss.backward()
            self._optimizer.step()
        if self._device == "cuda":
            torch.cuda.synchronize()


def one_line(error: BaseException) -> str:
    """The kind of an error and the first line of its text, for a table."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:160]}" if text else type(error).__name__


def loss_answers(args: argparse.Namespace) -> tuple[list[str], Callable[[str], dict]]:
    """The names of losses, and the seconds of each peer by name."""
    from torch_losses import torch_calls
    from torch_plain_losses import plain_calls

    calls = torch_calls(args.folder, args.device)
    for name, peers in plain_calls(args.folder, args.device).items():
        calls[name] = peers | calls.get(name, {})

    def answer(name: str) -> dict:
        found = {}
        for peer, call in calls.get(name, {}).items():
            try:
                found[peer] = best_seconds(call, args.seconds, least=1)
            except Exception as error:
                found[peer] = one_line(error)
        return found

    return list(calls), answer


def step_answers(args: argparse.Namespace) -> tuple[list[str], Callable[[str], dict]]:
    """The names of training steps, and what each took."""
    sizes, steps = SMALL if args.small else FULL, {}
    wanted = {
        f"{network.kind} {dtype}": (network, dtype)
        for network in sizes.networks
        for dtype in ("float32", "bfloat16")
    }

    def answer(name: str) -> dict:
        try:
            if name not in steps:
                steps.clear()  # one network at a time: the other side wants memory too
                steps[name] = Step(*wanted[name], args.device, args.compile, sizes.queue)
            step = steps[name]
            seconds = best_seconds(step, args.seconds, least=1) / sizes.queue
        except Exception as error:
            return {"error": one_line(error)}
        return {"seconds": seconds, "parameters": step.parameters, "how": step.how}

    return list(wanted), answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["losses", "steps"])
    parser.add_argument("--folder", type=pathlib.Path, help="of the inputs of the losses")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--seconds", type=float, default=1.0, help="for each peer and turn")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--compile", action="store_true", help="try torch.compile")
    args = parser.parse_args()
    if args.device == "cuda":
        # As JAX does by default: float32 products may take the tensor cores' shorter mantissa.
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    serve(*(loss_answers if args.part == "losses" else step_answers)(args))


if __name__ == "__main__":
    main()
