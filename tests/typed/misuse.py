"""Misuses that ``mypy --strict`` must catch, one a line, each with the codes of its errors.

Nothing here is run: each line would be refused at run time, too, or fail soon after.

What no type shows, and only the checks at run time see: the number of axes, their lengths, dtypes
and libraries of arrays; two arrays or two trees of the same type in each other's place, as
gradients and parameters in `Optimizer.update`; and the parameters or the state of one layer, as
``params[0]``, where those of all are asked for, since arrays inside trees are Any.
"""

import numpy as np

import xpbptt

lstm, gru, readout = xpbptt.LSTM(3, 5), xpbptt.GRU(3, 5), xpbptt.Linear(5, 2)
params, of_gru, of_readout = lstm.init(0), gru.init(0), readout.init(0)
x = np.ones((7, 4, 3), dtype=np.float32)
mask = np.ones((7, 4), dtype=np.bool)
y, state, cache = lstm.forward(params, x)
logits, kept = readout.forward(of_readout, y)
grads, trace = lstm.backward(cache, y, trace=True)
optimizer = xpbptt.adam()
memory = optimizer.init(params)

# The wrong order of arguments.
lstm.forward(x, params)  # E: call-overload
lstm.infer(params, state, x)  # E: call-overload
lstm.step(params, state, x[0])  # E: type-var
lstm.backward(y, cache)  # E: call-overload
readout.forward(y, of_readout)  # E: arg-type, type-var
readout.backward(logits, kept)  # E: arg-type
optimizer.update(grads.params, params, memory)  # E: arg-type
xpbptt.testing.check_gradients(params, lstm, x)  # E: arg-type
xpbptt.length_mask(7, [3, 1, 7, 2])  # E: call-overload
xpbptt.clip_by_global_norm(1.0, grads.params)  # E: arg-type

# One thing where another belongs.
lstm.forward(params, x, mask)  # E: call-overload
lstm.forward(params, x, mask=state)  # E: call-overload
lstm.forward(params, x, params)  # E: arg-type
lstm.forward(state, x)  # E: arg-type
lstm.forward(grads, x)  # E: arg-type
lstm.forward(params, [[[1.0]]])  # E: call-overload
lstm.backward(cache, state)  # E: call-overload
lstm.backward(kept, y)  # E: call-overload
readout.backward(cache, logits)  # E: arg-type
readout.forward(params, y)  # E: arg-type
params, memory = optimizer.update(grads, memory, params)  # E: arg-type
xpbptt.plot.gradient_flow(grads)  # E: arg-type
xpbptt.interop.torch.from_state_dict(params)  # E: arg-type

# What another net made.
gru.backward(cache, y)  # E: arg-type
gru.forward(of_gru, x, state)  # E: arg-type
xpbptt.LSTM(3, 5, bidirectional=True).forward(params, x)  # E: arg-type
xpbptt.sgd(0.1).update(grads.params, memory, params)  # E: arg-type

# Results taken for others.
out, last = lstm.forward(params, x)  # E: misc
gradients, norms = lstm.backward(cache, y)  # E: misc
only: xpbptt.Gradients = lstm.backward(cache, y, trace=True)  # E: assignment
grads.params.weight_ih  # E: attr-defined
state.h  # E: attr-defined
gru.infer(of_gru, x)[1][0].c  # E: attr-defined
grads.weights  # E: attr-defined

# Options.
xpbptt.LSTM("3", 5)  # E: call-overload
xpbptt.LSTM(3, 5, bidirectional="yes")  # E: call-overload
xpbptt.RNN(3, 5, nonlinearity="sin")  # E: call-overload
lstm.backward(cache, y, trace="yes")  # E: call-overload
lstm.forward(params, x, bptt=xpbptt.KeepAll)  # E: call-overload
lstm.init(xp="numpy")  # E: arg-type
lstm.init("a")  # E: arg-type
lstm.init(0, np)  # E: call-arg
xpbptt.adam(params)  # E: arg-type
lstm.hidden_size = 6  # E: misc
