"""A net as a module of torch: its numbers, its gradients, and what torch expects of a module."""

import copy
import gc
import pickle
import threading
import weakref
from contextlib import contextmanager
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest

import xpbptt
from xpbptt.cells import GRU

T, B, I, H = 6, 4, 3, 5
KINDS = {"LSTM": xpbptt.LSTM, "GRU": xpbptt.GRU, "RNN": xpbptt.RNN}


@pytest.fixture
def bridge(torch):
    torch.manual_seed(3)
    return import_module("xpbptt.bridges.torch")


@pytest.fixture
def draw(torch):
    return lambda *shape: torch.randn(shape, dtype=torch.float64, requires_grad=True)


@pytest.fixture
def module(torch, bridge):
    return bridge.Module(xpbptt.LSTM(I, H), dtype=torch.float64)


def flat(state):
    """Return the parts of a state, as torch.nn has them: (layers · directions, B, H) each."""
    entries = [e for layer in state for e in (layer if hasattr(layer[0], "h") else (layer,))]
    return [[entry[k] for entry in entries] for k in range(len(entries[0]))]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(("layers", "both"), [(1, False), (2, True)])
@pytest.mark.parametrize("batch_first", [False, True])
def test_it_is_torch_nn(torch, bridge, draw, name, layers, both, batch_first):
    """The same seed draws the same parameters; outputs, states and gradients agree."""
    options = {"batch_first": batch_first, "dtype": torch.float64}
    torch.manual_seed(0)
    theirs = getattr(torch.nn, name)(I, H, layers, bidirectional=both, **options)
    torch.manual_seed(0)
    ours = bridge.Module(KINDS[name](I, H, layers, bidirectional=both), **options)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert all(map(torch.equal, ours.parameters(), theirs.parameters()))
    x = draw(*((B, T, I) if batch_first else (T, B, I)))
    results = []
    for module, stack in ((ours, flat), (theirs, lambda s: s if name == "LSTM" else (s,))):
        y, state = module(x)
        parts = [torch.stack(list(part)) for part in stack(state)]
        loss = (y * torch.cos(torch.arange(y.numel()).reshape(y.shape))).sum()
        loss = loss + sum((part**2).sum() * (k + 2) for k, part in enumerate(parts))
        results.append([y, *parts, *torch.autograd.grad(loss, [x, *module.parameters()])])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_state_dicts_go_both_ways(torch, bridge):
    ours, theirs = bridge.Module(xpbptt.GRU(I, H, 2)), torch.nn.GRU(I, H, 2)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(T, B, I)
    torch.testing.assert_close(ours(x)[0], theirs(x)[0], rtol=1e-5, atol=1e-6)
    theirs.reset_parameters()
    ours.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(ours(x)[0], theirs(x)[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("carried", [False, True])
def test_gradients_with_resets_are_those_of_the_parts_alone(torch, module, draw, carried):
    """A reset cuts the sequence; what comes after it starts from `initial`, or from `state`."""
    x, entry = draw(T, B, I), xpbptt.cells.LSTM.state
    state = (entry(draw(B, H), draw(B, H)),)
    initial = (entry(draw(B, H), draw(B, H)),) if carried else None
    reset = (torch.arange(T) == 4)[:, None].expand(T, B)
    y, final = module(x, state, reset=reset, initial=initial)
    first, _ = module(x[:4], state)
    second, expected = module(x[4:], initial or state)
    variables = [x, *state[0], *(initial[0] if carried else ()), *module.parameters()]
    results = [
        (out, *end, *torch.autograd.grad((out**2).sum() + (end.c**3).sum(), variables))
        for out, (end,) in ((y, final), (torch.cat([first, second]), expected))
    ]
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


class TestGradients:
    STRATEGIES = (xpbptt.KeepAll(), xpbptt.KeepStates(), xpbptt.Segments(2))

    @pytest.mark.parametrize("bptt", STRATEGIES, ids=str)
    @pytest.mark.parametrize("both", [False, True])
    def test_gradcheck(self, torch, bridge, draw, both, bptt):
        net = xpbptt.LSTM(2, 3, 2, bidirectional=both)
        module = bridge.Module(net, bptt=bptt, dtype=torch.float64)
        mask = torch.tensor([[1, 1], [0, 1], [1, 0], [1, 1]], dtype=torch.bool)
        entry = xpbptt.cells.LSTM.state
        x, parts = draw(4, 2, 2), [draw(2, 3) for _ in range(8 if both else 4)]

        def run(x, *tensors):
            entries = [entry(*tensors[k : k + 2]) for k in range(0, len(parts), 2)]
            pairs = zip(entries[::2], entries[1::2], strict=True) if both else entries
            named = dict(zip(module.state_dict(), tensors[len(parts) :], strict=True))
            arguments = x, tuple(pairs), mask
            y, state = torch.func.functional_call(module, named, arguments)
            return (y, *(part for each in flat(state) for part in each))

        assert torch.autograd.gradcheck(run, (x, *parts, *module.parameters()))

    @pytest.mark.parametrize("bptt", STRATEGIES, ids=str)
    @pytest.mark.parametrize("columns", [(), (1,)], ids=str)
    def test_gradcheck_with_resets_and_a_side_input(self, torch, bridge, draw, columns, bptt):
        """By the side input and both states, with a mask and with resets."""
        module = bridge.Module(xpbptt.CfC(2, 3, 2), bptt=bptt, dtype=torch.float64)
        mask = torch.tensor([[1, 1], [0, 1], [1, 0], [1, 1]], dtype=torch.bool)
        reset = torch.tensor([[0, 1], [0, 0], [1, 0], [0, 1]], dtype=torch.bool)
        entry = module.net.cell.state
        tensors = [draw(4, 2, 2), draw(4, 2, *columns), *(draw(2, 3) for _ in range(4))]

        def run(x, dt, *parts):
            state, initial = (tuple(map(entry, parts[k : k + 2])) for k in (0, 2))
            named = dict(zip(module.state_dict(), parts[4:], strict=True))
            given = {"state": state, "initial": initial, "dt": dt, "mask": mask, "reset": reset}
            y, final = torch.func.functional_call(module, named, (x,), given)
            return (y, *(part for (part,) in final))

        assert torch.autograd.gradcheck(run, (*tensors, *module.parameters()))

    def test_a_gradient_of_a_gradient_is_refused(self, torch, module, draw):
        x = draw(T, B, I)
        (grad,) = torch.autograd.grad(module(x)[0].sum(), x, create_graph=True)
        with pytest.raises(RuntimeError, match="cannot be differentiated again"):
            (grad.sum() + module(x)[0].sum()).backward()

    def test_of_some_parameters_only(self, torch, module, draw):
        x = draw(T, B, I)
        module(x)[0].sum().backward()
        whole = [parameter.grad for parameter in module.parameters()]
        module.zero_grad()
        module.weight_hh_l0.requires_grad_(requires_grad=False)
        module(x.detach())[0].sum().backward()
        assert module.weight_hh_l0.grad is None
        for parameter, expected in zip(module.parameters(), whole, strict=True):
            if parameter.requires_grad:
                assert torch.equal(parameter.grad, expected)

    def test_no_two_share_memory(self, module, draw):
        module(draw(T, B, I))[0].sum().backward()
        places = [parameter.grad.data_ptr() for parameter in module.parameters()]
        assert len(set(places)) == len(places)


class TestOwnCell:
    @pytest.fixture
    def net(self):
        """A GRU with a scale of its output as a parameter without axes."""
        own = GRU._replace(name="scaled", extra=lambda _: Own(()))

        def forward(u, v, state, *, extra, xp):
            new, residuals = GRU.forward(u, v, state, xp=xp)
            return type(new)(new.h * extra.scale), (*residuals, new.h)

        def backward(residuals, state, new, dnew, *, extra, xp):
            *gates, h = residuals
            inner = type(new)(dnew.h * extra.scale)
            kept = GRU.forward.__globals__["Residuals"](*gates)
            du, dv, dstate = GRU.backward(kept, state, type(new)(h), inner, xp=xp)
            return du, dv, dstate, Own(xp.sum(dnew.h * h, axis=-1))

        return xpbptt.Net(own._replace(forward=forward, backward=backward), I, H, 2)

    def test_its_parameters_are_named_and_have_gradients(self, torch, bridge, draw, net):
        module = bridge.Module(net, dtype=torch.float64)
        assert [name for name in module.state_dict() if "extra" in name] == [
            "extra_scale_l0",
            "extra_scale_l1",
        ]
        x = draw(2, 2, I)
        names = list(module.state_dict())

        def run(*tensors):
            named = dict(zip(names, tensors, strict=True))
            return torch.func.functional_call(module, named, (x,))[0]

        assert torch.autograd.gradcheck(run, tuple(module.parameters()))


class Own(xpbptt.cells.rnn.NamedTuple):
    scale: object


class TestMasks:
    def test_of_packed_sequences(self, torch, bridge, draw):
        """In any order, with ties; the state is in the order of the sequences."""
        rnn = torch.nn.utils.rnn
        options = {"bidirectional": True}
        ours = bridge.Module(xpbptt.LSTM(I, H, **options), dtype=torch.float64)
        theirs = torch.nn.LSTM(I, H, dtype=torch.float64, **options)
        theirs.load_state_dict(ours.state_dict())
        x = draw(T, B, I)
        packed = rnn.pack_padded_sequence(x, torch.tensor([2, 6, 2, 3]), enforce_sorted=False)
        (y, state), (expected, final) = ours(packed), theirs(packed)
        for a, b in zip(y, expected, strict=True):
            torch.testing.assert_close(a, b)
        for part, wanted in zip(flat(state), final, strict=True):
            torch.testing.assert_close(torch.stack(part), wanted)
        grads = [
            torch.autograd.grad((each.data**3).sum(), x, retain_graph=True)[0]
            for each in (y, expected)
        ]
        torch.testing.assert_close(*grads)

    def test_of_sorted_packed_sequences(self, torch, module, draw):
        rnn = torch.nn.utils.rnn
        x = draw(T, B, I)
        y, _ = module(rnn.pack_padded_sequence(x, torch.tensor([6, 5, 5, 1])))
        padded, _ = rnn.pad_packed_sequence(y)
        mask = torch.arange(T)[:, None] < torch.tensor([6, 5, 5, 1])
        assert torch.equal(padded, module(x, mask=mask)[0])

    def test_batch_first(self, torch, bridge, draw):
        net = xpbptt.GRU(I, H)
        first = bridge.Module(net, batch_first=True, dtype=torch.float64)
        mask, x = torch.rand(B, T) < 0.6, draw(B, T, I)
        params = (xpbptt.Weights(*(each.detach().numpy() for each in first.parameters())),)
        expected, _ = net.infer(params, x.detach().numpy().swapaxes(0, 1), mask=mask.numpy().T)
        np.testing.assert_array_equal(
            first(x, mask=mask)[0].detach().numpy().swapaxes(0, 1), expected
        )

    @pytest.mark.parametrize("columns", [(), (1,)], ids=str)
    def test_batch_first_turns_resets_and_side_inputs(self, torch, bridge, draw, columns):
        net = xpbptt.CfC(I, H)
        module = bridge.Module(net, dtype=torch.float64)
        first = bridge.Module(net, batch_first=True, dtype=torch.float64)
        first.load_state_dict(module.state_dict())
        x, dt, reset = draw(T, B, I), draw(T, B, *columns), torch.rand(T, B) < 0.3
        turned = {"dt": dt.transpose(0, 1), "reset": reset.T}
        y, (final,) = first(x.transpose(0, 1), **turned)
        expected, (wanted,) = module(x, dt=dt, reset=reset)
        assert torch.equal(y.transpose(0, 1), expected)
        assert torch.equal(final.h, wanted.h)
        assert not torch.equal(module(x, dt=dt)[0], expected)

    @pytest.mark.parametrize("batch_first", [False, True])
    def test_packed_sequences_beside_resets_and_side_inputs(self, torch, bridge, draw, batch_first):
        """Those are padded, in the order of the sequences; NaN in their padding is harmless."""
        rnn, lengths = torch.nn.utils.rnn, torch.tensor([2, 6, 2, 3])
        module = bridge.Module(xpbptt.CfC(I, H), batch_first=batch_first, dtype=torch.float64)
        module.batch_first = False
        x, dt, reset = draw(T, B, I), draw(T, B), torch.rand(T, B) < 0.3
        mask = torch.arange(T)[:, None] < lengths
        expected, (wanted,) = module(x, mask=mask, dt=dt, reset=reset)
        module.batch_first = batch_first
        packed = rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        beside = {"dt": torch.where(mask, dt, torch.nan), "reset": reset}
        if batch_first:
            beside = {name: tensor.T for name, tensor in beside.items()}
        y, (final,) = module(packed, **beside)
        padded, _ = rnn.pad_packed_sequence(y)
        assert torch.equal(padded, expected)
        assert torch.equal(final.h, wanted.h)


class TestMemory:
    def test_cpu_tensors_are_not_copied(self, torch, module, monkeypatch):
        seen = []
        infer = xpbptt.Net.infer

        def look(net, params, x, **given):
            seen.extend([params[0].weight_hh.ctypes.data, x.ctypes.data])
            y, state = infer(net, params, x, **given)
            seen.append(y.ctypes.data)
            return y, state

        monkeypatch.setattr(xpbptt.Net, "infer", look)
        x = torch.ones((T, B, I), dtype=torch.float64)
        with torch.no_grad():
            y, _ = module(x)
        assert seen == [module.weight_hh_l0.data_ptr(), x.data_ptr(), y.data_ptr()]

    @pytest.mark.parametrize("both", [False, True])
    def test_what_was_kept_is_freed_by_the_backward_pass(self, torch, bridge, monkeypatch, both):
        """As torch frees it, though the loss with its graph is still there."""
        made = []
        forward = xpbptt.Net.forward

        def look(*arguments, **options):
            y, state, cache = forward(*arguments, **options)
            layer = cache.layers[0]
            kept = [
                each.segment.residuals
                for each in ((layer.first, layer.second) if both else (layer,))
            ]
            made.extend(weakref.ref(first) for first, *_ in kept)
            return y, state, cache

        monkeypatch.setattr(xpbptt.Net, "forward", look)
        loss = bridge.Module(xpbptt.LSTM(I, H, bidirectional=both))(torch.ones((T, B, I)))[0].sum()
        gc.collect()
        assert len(made) == 1 + both
        assert all(ref() is not None for ref in made)
        loss.backward()
        gc.collect()
        assert all(ref() is None for ref in made)

    def test_a_second_backward_pass_needs_retain_graph(self, torch, module, draw):
        x = draw(T, B, I)
        loss = module(x)[0].sum()
        (first,) = torch.autograd.grad(loss, x, retain_graph=True)
        (second,) = torch.autograd.grad(loss, x)
        assert torch.equal(first, second)
        with pytest.raises(RuntimeError, match="backward through the graph a second time"):
            torch.autograd.grad(loss, x)

    @pytest.mark.parametrize("what", ["x", "y", "weight"])
    def test_a_write_between_the_passes_is_seen(self, torch, module, draw, what):
        x = draw(T, B, I) * 1
        y, _ = module(x)
        loss = (y * 2).sum()
        with torch.no_grad():
            {"x": x, "y": y, "weight": module.weight_ih_l0}[what].add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()

    def test_tensors_that_run_backwards_are_kept(self, torch, module, draw):
        """The reversed direction of a net keeps a view that torch cannot have."""
        memory = import_module("xpbptt.bridges.memory")
        shared, array = memory.memory("cpu"), np.arange(24.0).reshape(2, 3, 4)[::-1, :, ::-1]
        kept = memory.keep(array, shared)
        back = memory.unkept(kept, shared)
        np.testing.assert_array_equal(back, array)
        assert back.ctypes.data == array.ctypes.data


class TestCudaRoute:
    """With NumPy in the place of CuPy, and a recorder in that of its devices and streams.

    What this cannot show: CUDA's memory, the order of work on streams, CuPy's own DLPack.
    """

    @pytest.fixture
    def entered(self, torch, monkeypatch):
        entered = []

        @contextmanager
        def context(*what):
            entered.append(what)
            yield
            entered.append("left")

        cuda = SimpleNamespace(
            Device=lambda index: context("device", index),
            ExternalStream=lambda pointer, index: context("stream", pointer, index),
        )
        cupy = SimpleNamespace(
            from_dlpack=np.from_dlpack, may_share_memory=np.may_share_memory, cuda=cuda
        )
        memory = import_module("xpbptt.bridges.memory")
        monkeypatch.setattr(memory, "import_module", {"cupy": cupy}.__getitem__)
        stream = SimpleNamespace(cuda_stream=77)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
        shared = memory.memory.__wrapped__("cuda")
        autograd = import_module("xpbptt.bridges.autograd")
        monkeypatch.setattr(autograd, "memory", lambda _: shared)
        return entered

    def test_both_passes_run_on_torchs_current_stream(self, torch, bridge, draw, entered):
        module = bridge.Module(xpbptt.LSTM(I, H, 2), dtype=torch.float64)
        x, mask = draw(T, B, I), torch.rand(T, B) < 0.6
        one = [("device", None), ("stream", 77, None), "left", "left"]
        with torch.no_grad():
            expected, _ = module(x, mask=mask)
        assert entered == one
        y, _ = module(x, mask=mask)
        assert torch.equal(y, expected)
        assert entered == 2 * one
        found = torch.autograd.grad((y**2).sum(), [x, *module.parameters()])
        assert entered == 3 * one
        params = tuple(xpbptt.Weights(*list(module.parameters())[k : k + 4]) for k in (0, 4))
        params = tuple(type(w)(*(a.detach().numpy() for a in w[:4])) for w in params)
        y, _, cache = module.net.forward(params, x.detach().numpy(), mask=mask.numpy())
        grads = module.net.backward(cache, 2 * y)
        wanted = [grads.x, *(a for w in grads.params for a in w[:4])]
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_allclose(a.numpy(), b, rtol=1e-12, atol=1e-12)


class TestModes:
    def test_without_recording_nothing_is_kept(self, torch, module, monkeypatch):
        monkeypatch.setattr(xpbptt.Net, "forward", None)
        x = torch.ones((T, B, I), dtype=torch.float64)
        for context in (torch.no_grad, torch.inference_mode):
            with context():
                assert module(x)[0].grad_fn is None
        module.requires_grad_(requires_grad=False)
        assert module(x)[0].grad_fn is None

    def test_dropout_follows_from_torchs_seed_and_the_mode(self, torch, bridge, draw):
        module = bridge.Module(xpbptt.GRU(I, H, 2, dropout=0.5), dtype=torch.float64)
        plain = bridge.Module(xpbptt.GRU(I, H, 2), dtype=torch.float64)
        plain.load_state_dict(module.state_dict())
        x = draw(T, B, I)

        def seeded():
            torch.manual_seed(5)
            return module(x)[0]

        dropped = seeded()
        assert torch.equal(seeded(), dropped)
        assert not torch.equal(module(x)[0], dropped)
        with torch.no_grad():
            assert torch.equal(seeded(), dropped)
        module.eval()
        assert torch.equal(module(x)[0], plain(x)[0])

    def test_autocast(self, torch, bridge):
        module = bridge.Module(xpbptt.GRU(I, H))
        x = torch.randn(T, B, I)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y, _ = module(x.bfloat16())
        assert torch.equal(y, module(x.bfloat16().float())[0])

    def test_half_precision(self, torch, bridge):
        module = bridge.Module(xpbptt.GRU(I, H))
        x = torch.randn(T, B, I)
        expected = module(x)[0]
        y, _ = module.half()(x.half())
        assert y.dtype is torch.float16
        torch.testing.assert_close(y.float(), expected, rtol=0.01, atol=0.01)
        with pytest.raises(TypeError, match=r"`x` has dtype torch.bfloat16.*\.float\(\)"):
            module(x.bfloat16())
        with pytest.raises(TypeError, match="`weight_ih_l0` has dtype"):
            module.bfloat16()(x)

    def test_to_another_dtype(self, torch, bridge, draw):
        module = bridge.Module(xpbptt.RNN(I, H)).to(torch.float64)
        assert module(draw(T, B, I))[0].dtype is torch.float64

    @pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
    def test_copies(self, torch, bridge, draw, copied):
        module = bridge.Module(xpbptt.LSTM(I, H, 2, dropout=0.5), dtype=torch.float64).eval()
        x, other = draw(T, B, I), copied(module)
        assert torch.equal(other(x)[0], module(x)[0])
        with torch.no_grad():
            other.weight_ih_l0.zero_()
        assert not torch.equal(other(x)[0], module(x)[0])

    def test_threads(self, torch, module, draw):
        x = draw(T, B, I).detach()
        expected = torch.autograd.grad(module(x)[0].sum(), list(module.parameters()))
        found = []

        def work():
            found.append(torch.autograd.grad(module(x)[0].sum(), list(module.parameters())))

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 6
        assert all(all(map(torch.equal, each, expected)) for each in found)

    @pytest.mark.parametrize("shape", [(0, B), (T, 0)])
    def test_empty(self, torch, module, draw, shape):
        x = draw(*shape, I)
        y, _ = module(x)
        assert tuple(y.shape) == (*shape, H)
        y.sum().backward()
        assert torch.equal(module.bias_hh_l0.grad, torch.zeros(4 * H, dtype=torch.float64))


class TestBadInput:
    @pytest.mark.parametrize(
        ("change", "error", "match"),
        [
            ({"x": np.ones((T, B, I))}, TypeError, "`x` must be a dense tensor of torch, got nda"),
            ({"x": lambda t: t.ones(T, I)}, ValueError, r"`x` must have the axes \(T, B, I\)"),
            ({"x": lambda t: t.ones(T, B, I)}, TypeError, "`x` has dtype float32"),
            (
                {"x": lambda t: t.ones(T, B, I).to_sparse()},
                TypeError,
                "`x` .* got torch.sparse_coo",
            ),
            ({"x": lambda t: t.ones(T, B, I, device="meta")}, ValueError, "`x` is on device meta"),
            ({"mask": lambda t: t.ones(T, B)}, TypeError, "`mask` must be an array of booleans"),
            ({"mask": lambda t: t.ones(B, T).bool()}, ValueError, "`mask` has shape"),
            ({"mask": [[True]]}, TypeError, r"`mask` must be a dense tensor"),
            ({"reset": lambda t: t.ones(T, B)}, TypeError, "`reset` must be an array of booleans"),
            ({"reset": lambda t: t.ones(B, T).bool()}, ValueError, "`reset` has shape"),
            ({"reset": np.ones((T, B), bool)}, TypeError, "`reset` must be a dense tensor"),
            ({"initial": lambda t: (t.ones(B, H),)}, ValueError, "pass `reset` with it"),
            ({"dt": lambda t: t.ones(T, B)}, ValueError, "`dt` is given, but LSTM"),
            ({"dt": 1.0}, TypeError, "`dt` must be a dense tensor of torch, got float"),
            ({"state": lambda t: t.ones(B, H)}, TypeError, "`state`"),
            ({"state": lambda t: (t.ones(B, H, device="meta"),)}, ValueError, "`state.* is on dev"),
        ],
    )
    def test_is_refused(self, torch, module, change, error, match):
        given = {"x": torch.ones((T, B, I), dtype=torch.float64)}
        given |= {k: v(torch) if callable(v) else v for k, v in change.items()}
        with pytest.raises(error, match=match):
            module(**given)

    def test_a_mask_beside_packed_sequences(self, torch, module):
        packed = torch.nn.utils.rnn.pack_sequence([torch.ones((T, I), dtype=torch.float64)])
        with pytest.raises(ValueError, match="`mask` must be None where `x` is packed"):
            module(packed, mask=torch.ones((T, 1), dtype=torch.bool))

    def test_what_is_no_net(self, torch, bridge):
        with pytest.raises(TypeError, match=r"`net` must be an xpbptt.Net, .* got LSTM"):
            bridge.Module(torch.nn.LSTM(I, H))
        with pytest.raises(TypeError, match="`bptt` must be a strategy"):
            bridge.Module(xpbptt.LSTM(I, H), bptt=xpbptt.KeepAll)
