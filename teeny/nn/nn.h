#pragma once
// Layers, and the state of a model: parameters, names, initial values.
#include "teeny/nn/attention.h"
#include "teeny/nn/functions.h"
#include "teeny/nn/init.h"
#include "teeny/nn/layers.h"
#include "teeny/nn/norms.h"
#include "teeny/nn/recurrent.h"
#include "teeny/nn/sequential.h"
#include "teeny/nn/state.h"
#include "teeny/nn/summary.h"
