"""The eight functions of "Building your Recurrent Neural Network - Step by Step".

That notebook of the Deep Learning Specialization builds a recurrent net and an LSTM forward and
backward, one time step (a cell) and then a sequence of them. Here are its functions with its
names, layouts and dictionaries, one line an equation, for arrays of any library. They are what a
student reads, and what the fast nets of this package are tested against.

Symbols
-------
n_x, n_a, n_y
    Sizes of the input, the hidden state and the prediction, at least 1.
m, T_x
    Numbers of examples and of time steps, which may be 0.
x (n_x, m, T_x), xt (n_x, m)
    The input, and that of one step.
a, c (n_a, m, T_x)
    Hidden state and memory; before a step ``a_prev``, ``c_prev``, after it ``a_next``, ``c_next``.
y (n_y, m, T_x)
    Prediction, y = softmax(Wya a + by) over the n_y entries of each example; LSTM: Wy, by.
ft, it, cct, ot (n_a, m)
    Forget gate Γf, update gate Γi, candidate c̃ and output gate Γo.
d...
    Gradient of one number, the loss, by what follows; ``dgamma_f`` by the argument of the sigmoid
    that gives ``ft``, ``dpcct`` by the argument of the tanh that gives ``cct``.

``parameters`` is a dictionary. For the RNN: ``Wax (n_a, n_x)``, ``Waa (n_a, n_a)``,
``Wya (n_y, n_a)``, ``ba (n_a, 1)``, ``by (n_y, 1)``. For the LSTM: ``Wf``, ``Wi``, ``Wc``, ``Wo``
(n_a, n_a + n_x), which act on the rows of [a_prev; xt], their biases ``bf``, ``bi``, ``bc``,
``bo`` (n_a, 1), and ``Wy (n_y, n_a)``, ``by (n_y, 1)``.

The numbers in comments are those of the notebook's later editions: (1) to (6) LSTM forward, (0) to
(5) RNN backward, (7) to (21) LSTM backward. The first edition gave the gradients of the biases no
numbers, here (15) to (18), and called (19) to (21) (15) to (17).

The backward functions take the whole gradient by ``a``, including the part that comes through
``y``, and so return none by ``Wya``, ``Wy`` and ``by``. All gradients are sums over the examples,
not means.

Where this differs from the published notebook
----------------------------------------------
The notebook's text and the solutions published for it have these slips. Here is the mathematics.

- ``dWax += dWax`` and ``dWaa += dWaa`` in `rnn_backward` double zeros. A gradient by a weight used
  in every step is the sum of the steps' gradients.
- Lines left from the template, ``dit = None`` and its like, overwrite computed gate gradients.
- ``dWc`` is computed from the gradient of the forget gate; (13) takes that of the candidate.
- ``dbi`` and ``dbc`` are summed from the wrong gates; (16) and (17) take each its own.
- ``dxt`` is computed with ``W[:, :n_a]``, the columns of a_prev; (21)
  takes those of xt, ``W[:, n_a:]``.
- `lstm_backward` never carries ``da_prev`` and ``dc_prev`` back to the step before. The gradient
  at a step is what arrives there from the loss plus what its successor hands back.
- Equations (8), (9) and (10) lack a bracket, so that the derivative of the activation multiplies
  only the second of two terms. It multiplies both.
- Equation (8) has a stray factor c̃. The derivative of c by c̃ is Γi alone.
- Equation (8) ends in 1 - tanh(c̃)². c̃ is a tanh already, so the derivative is 1 - c̃².
- Equation (10) says c̃_prev where the forget gate multiplies c_prev.

References
----------
.. [1] A. Ng, K. Katanforoosh and Y. Bensouda Mourri, "Sequence Models", Deep Learning
   Specialization, week 1, "Building your Recurrent Neural Network - Step by Step", 2018.
.. [2] S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9, 1997.
.. [3] F. A. Gers, J. Schmidhuber and F. Cummins, "Learning to forget: continual prediction with
   LSTM", Neural Computation 12, 2000.
"""

from xpbptt.notebook.lstm import lstm_backward, lstm_cell_backward, lstm_cell_forward, lstm_forward
from xpbptt.notebook.rnn import rnn_backward, rnn_cell_backward, rnn_cell_forward, rnn_forward

__all__ = [
    "lstm_backward",
    "lstm_cell_backward",
    "lstm_cell_forward",
    "lstm_forward",
    "rnn_backward",
    "rnn_cell_backward",
    "rnn_cell_forward",
    "rnn_forward",
]
