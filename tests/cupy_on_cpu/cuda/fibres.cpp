// The threads of a block that meets barriers: each is a fibre with a stack of its own. A pass over
// all of them runs each from one barrier to the next. The contexts are made once and kept; to
// switch, setjmp and longjmp, which unlike swapcontext make no system call.
#undef _FORTIFY_SOURCE  // it takes a jump to another stack for a mistake
#include <setjmp.h>
#include <stdlib.h>
#include <ucontext.h>

#include <vector>

namespace {

constexpr size_t STACK = 1 << 16;

struct Fibre {
  ucontext_t start;
  jmp_buf here;
  bool started = false;
  bool done = false;
};

std::vector<Fibre*> fibres;
jmp_buf scheduler;
unsigned current;
void (*body)(void*, unsigned);
void* argument;

void leave() {
  if (_setjmp(fibres[current]->here) == 0) _longjmp(scheduler, 1);
}

void run_forever() {
  for (;;) {
    body(argument, current);
    fibres[current]->done = true;
    leave();
  }
}

void enter(unsigned t) {
  current = t;
  Fibre* fibre = fibres[t];
  if (_setjmp(scheduler) != 0) return;
  if (fibre->started) _longjmp(fibre->here, 1);
  fibre->started = true;
  setcontext(&fibre->start);
}

void make_fibres(unsigned count) {
  while (fibres.size() < count) {
    Fibre* fibre = new Fibre;
    getcontext(&fibre->start);
    fibre->start.uc_stack.ss_sp = malloc(STACK);
    fibre->start.uc_stack.ss_size = STACK;
    fibre->start.uc_link = nullptr;
    makecontext(&fibre->start, run_forever, 0);
    fibres.push_back(fibre);
  }
}

}  // namespace

extern "C" void cupy_on_cpu_barrier() { leave(); }

extern "C" void cupy_on_cpu_run_block(unsigned threads, void (*run)(void*, unsigned), void* given) {
  make_fibres(threads);
  body = run;
  argument = given;
  for (unsigned t = 0; t < threads; ++t) fibres[t]->done = false;
  for (bool left = true; left;) {
    left = false;
    for (unsigned t = 0; t < threads; ++t) {
      if (!fibres[t]->done) enter(t);
      left = left || !fibres[t]->done;
    }
  }
}
