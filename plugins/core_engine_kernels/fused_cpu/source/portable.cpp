// For any processor.
#define ISA portable
#define LANES 4
#include "rollout.h"
