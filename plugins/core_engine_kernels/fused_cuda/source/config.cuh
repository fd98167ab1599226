// Which cell is compiled. The options of the compiler define CELL_* (see ../variants.py); all else follows from them.
#pragma once

#define ACTIVATION_GELU 0
#define ACTIVATION_GELU_TANH 1
#define ACTIVATION_RELU 2
#define ACTIVATION_SILU 3

constexpr int CHANNELS = CELL_CHANNELS;                       // C, a multiple of 16
constexpr int DRIVE = CELL_DRIVE;                             // drive channels, a one, zeros: a multiple of 16
constexpr int HIDDEN = CELL_HIDDEN;                           // H, a multiple of 32
constexpr bool GATED = CELL_GATED;
constexpr bool NOISE = CELL_NOISE;
constexpr int WARPS = CELL_WARPS;                             // warps of a block
constexpr int TILES = CELL_TILES;                             // tiles whose state one warp keeps: resident forward only

constexpr int DIRECTIONS = 7;                                 // itself, x - 1, x + 1, y - 1, y + 1, z - 1, z + 1
constexpr int TILE = 16;                                      // cells that one matrix instruction takes
constexpr int INPUTS = DIRECTIONS * CHANNELS + DRIVE;         // what a cell's hidden layer reads
constexpr int OUTPUTS = GATED ? 2 * CHANNELS : CHANNELS;      // update, then gate
constexpr int THREADS = 32 * WARPS;
constexpr int CHUNK = TILE * CELL_CHUNK;                      // cells that a block treats at once

// Tiles that share one load of the weights. Two where registers allow: with one, shared memory is the limit.
constexpr int FORWARD_TILES = GATED || TILES == 1 ? 1 : 2;
constexpr int PULL_TILES = CHANNELS <= 32 ? 2 : 1;
static_assert(CELL_CHUNK <= WARPS, "no warp takes two tiles of a chunk");
static_assert(TILES % FORWARD_TILES == 0, "a warp's tiles are taken two at a time");
static_assert(CHANNELS % 16 == 0 && DRIVE % 16 == 0 && HIDDEN % 32 == 0, "matrix instructions take 16 at a time");

// Positions lie in blocks of 32 hidden units, reordered so that a lane finds its eight of them side by side.
constexpr int POSITION_BLOCK = 32;

// The weights' gradient [HIDDEN, INPUTS + OUTPUTS] comes in units of 16 columns by at most 64 rows. A warp owns some of
// one row of units and sums them in registers over all cells, steps and samples: no atomics, so sums have one order.
constexpr int UNIT = HIDDEN < 64 ? HIDDEN : 64;
constexpr int UNIT_ROWS = HIDDEN / UNIT;
constexpr int STATE_COLUMNS = DIRECTIONS * CHANNELS / 16;
constexpr int INPUT_COLUMNS = INPUTS / 16;
constexpr int ALL_COLUMNS = INPUT_COLUMNS + OUTPUTS / 16;
constexpr int OWNERS = WARPS / UNIT_ROWS;                   // warps that share a row of units
constexpr int OWNED = (ALL_COLUMNS + OWNERS - 1) / OWNERS;
static_assert(WARPS % UNIT_ROWS == 0, "each row of units has as many owners");

// Hidden units that a warp holds at once. All of a wide layer would not fit the registers, least of all beside the sums
// of the weights' gradient.
constexpr int FORWARD_BLOCK = UNIT;
constexpr int BACKWARD_BLOCK = OWNED * UNIT > 64 ? 32 : UNIT;
