#pragma once
// Optimisers, and schedules of their learning rate.
#include "teeny/optim/lr_schedule.h"
#include "teeny/optim/optimizers.h"
