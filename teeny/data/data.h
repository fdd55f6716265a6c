#pragma once
// Datasets and what hands out their batches.
#include "teeny/data/datasets.h"
#include "teeny/data/idx.h"
#include "teeny/data/loader.h"
