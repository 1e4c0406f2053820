// Threads that wait for each other: each is a fibre with a stack of its own. The contexts are made
// once and kept; to switch, setjmp and longjmp, which unlike swapcontext make no system call.
//
// A fibre runs until it waits: at a barrier for its block, at a shuffle for its warp, or, where it
// polls memory, for anybody. The order in which fibres get to run is chosen from outside: a fault in
// how threads wait for each other shows in some orders only. Where nobody gets on, the launch hangs.
#undef _FORTIFY_SOURCE  // it takes a jump to another stack for a mistake
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

namespace {

constexpr size_t STACK = 1 << 16;
constexpr unsigned WARP = 32, WIDEST = 32;  // threads of a warp; bytes that a lane hands over
constexpr unsigned ALL = ~0u;               // in place of a lane
constexpr int PATIENCE = 3;                 // rounds without progress before it is a hang

enum State { READY, AT_BARRIER, AT_SHUFFLE, POLLING, STARVING, DONE };
enum Order { FAIR, REVERSED, SHUFFLED, GREEDY, GREEDY_REVERSED, GREEDY_SHUFFLED, STARVED };

struct Fibre {
  ucontext_t start;
  jmp_buf here;
  bool started = false;
  State state = READY;
};
struct Block {
  std::vector<char> shared;
  unsigned alive, arrived = 0;
};
struct Warp {
  char slots[2][WARP][WIDEST];  // of two shuffles in turn: nobody is ahead by more than one
  unsigned arrived = 0, turn = 0;
};

std::vector<Fibre*> fibres;
std::vector<Block> blocks;
std::vector<Warp> warps;
unsigned size, warps_of_block, current;
jmp_buf scheduler;
void (*body)(void*, unsigned, unsigned);
void* argument;
int order = FAIR;
std::mt19937 draw;

void leave(State state) {
  fibres[current]->state = state;
  if (_setjmp(fibres[current]->here) == 0) _longjmp(scheduler, 1);
}

// Lets threads that have waited run again; in the starved order, now and then, half of them not yet.
bool wake(State state, unsigned first, unsigned last) {
  const bool starves = order == STARVED && state == AT_BARRIER && draw() % 4 == 0;
  bool any = false;
  for (unsigned i = first; i < last; ++i)
    if (fibres[i]->state == state) {
      fibres[i]->state = starves && draw() % 2 ? STARVING : READY;
      any = true;
    }
  return any;
}

void pass_barrier(unsigned block) {
  blocks[block].arrived = 0;
  wake(AT_BARRIER, block * size, (block + 1) * size);
}

void run_forever() {
  for (;;) {
    const unsigned block = current / size;
    body(argument, block, current % size);
    Block& own = blocks[block];
    if (--own.alive && own.arrived == own.alive) pass_barrier(block);
    leave(DONE);
  }
}

// Runs one fibre until it waits; returns whether it got on.
bool enter(unsigned i) {
  Fibre* fibre = fibres[i];
  const bool polled = fibre->state == POLLING;
  if (!polled && fibre->state != READY) return false;
  current = i;
  fibre->state = READY;
  if (_setjmp(scheduler) == 0) {
    if (fibre->started) _longjmp(fibre->here, 1);
    fibre->started = true;
    setcontext(&fibre->start);
  }
  return !(polled && fibre->state == POLLING);
}

void prepare(unsigned count) {
  while (fibres.size() < count) {
    fibres.push_back(new Fibre);
    fibres.back()->start.uc_stack.ss_sp = malloc(STACK);
  }
  for (unsigned i = 0; i < count; ++i) {
    Fibre* fibre = fibres[i];
    fibre->state = READY;
    if (fibre->started) continue;
    void* stack = fibre->start.uc_stack.ss_sp;
    getcontext(&fibre->start);
    fibre->start.uc_stack.ss_sp = stack;
    fibre->start.uc_stack.ss_size = STACK;
    fibre->start.uc_link = nullptr;
    makecontext(&fibre->start, run_forever, 0);
  }
}

// Lets each of some fibres run once; returns whether one got on.
bool round(const std::vector<unsigned>& some) {
  bool progress = false;
  for (unsigned i : some) progress |= enter(i);
  return progress;
}

bool greedy_round(std::vector<unsigned>& places, std::vector<unsigned>& threads) {
  bool progress = false;
  if (order == GREEDY_SHUFFLED) std::shuffle(places.begin(), places.end(), draw);
  for (unsigned block : places) {  // a block runs until all that it can do is wait
    std::iota(threads.begin(), threads.end(), block * size);
    while (round(threads)) progress = true;
  }
  return progress;
}

bool any_round(std::vector<unsigned>& all, std::vector<unsigned>& places,
               std::vector<unsigned>& threads) {
  if (order == SHUFFLED) std::shuffle(all.begin(), all.end(), draw);
  if (order >= GREEDY && order < STARVED) return greedy_round(places, threads);
  if (round(all)) return true;
  return wake(STARVING, 0, all.size());  // nobody else gets on
}

}  // namespace

extern "C" void cupy_on_cpu_barrier() {
  const unsigned block = current / size;
  Block& own = blocks[block];
  if (++own.arrived == own.alive)
    pass_barrier(block);
  else
    leave(AT_BARRIER);
}

extern "C" void cupy_on_cpu_idle() { leave(POLLING); }

extern "C" void* cupy_on_cpu_shared() {
  char* memory = blocks[current / size].shared.data();
  return memory + (16 - reinterpret_cast<size_t>(memory) % 16) % 16;
}

// Hands a value to the lanes of the warp, and takes that of another lane, or with ALL those of all.
extern "C" void cupy_on_cpu_shuffle(unsigned mask, unsigned lane, const void* mine, void* theirs,
                                    unsigned bytes) {
  const unsigned thread = current % size, own = thread % WARP, first = current - own;
  const unsigned lanes = std::min(WARP, size - (thread - own));
  if (lanes < WARP) mask &= (1u << lanes) - 1;
  Warp& warp = warps[current / size * warps_of_block + thread / WARP];
  const unsigned turn = warp.turn;
  memcpy(warp.slots[turn][own], mine, bytes);
  if (++warp.arrived == static_cast<unsigned>(__builtin_popcount(mask))) {
    warp.arrived = 0;
    warp.turn = 1 - turn;
    wake(AT_SHUFFLE, first, first + lanes);
  } else {
    leave(AT_SHUFFLE);
  }
  if (lane == ALL)
    for (unsigned i = 0; i < lanes; ++i)
      memcpy(static_cast<char*>(theirs) + i * bytes, warp.slots[turn][i], bytes);
  else
    memcpy(theirs, warp.slots[turn][lane < lanes ? lane : own], bytes);
}

extern "C" void cupy_on_cpu_order(int wanted, unsigned seed) {
  order = wanted;
  draw.seed(seed);
}

// Runs so many blocks at once; returns whether all of them came to an end.
extern "C" bool cupy_on_cpu_run(unsigned count, unsigned threads, size_t shared,
                                void (*run)(void*, unsigned, unsigned), void* given) {
  body = run;
  argument = given;
  size = threads;
  warps_of_block = (threads + WARP - 1) / WARP;
  blocks.assign(count, Block{std::vector<char>(shared + 16, char(0xff)), threads});
  warps.assign(count * warps_of_block, Warp{});
  prepare(count * threads);
  std::vector<unsigned> all(count * threads), places(count), some(threads);
  std::iota(all.begin(), all.end(), 0u);
  std::iota(places.begin(), places.end(), 0u);
  if (order == REVERSED) std::reverse(all.begin(), all.end());
  if (order == GREEDY_REVERSED) std::reverse(places.begin(), places.end());
  const auto alive = [](const Block& block) { return block.alive > 0; };
  for (int stuck = 0; std::any_of(blocks.begin(), blocks.end(), alive);) {
    stuck = any_round(all, places, some) ? 0 : stuck + 1;
    if (stuck == PATIENCE) {
      for (unsigned i : all) fibres[i]->started = fibres[i]->state == DONE;
      return false;
    }
  }
  return true;
}
