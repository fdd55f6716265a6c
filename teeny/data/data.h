#pragma once
// Datasets, and loaders that make batches of them.
#include "teeny/data/datasets.h"
#include "teeny/data/idx.h"
#include "teeny/data/loader.h"
