#pragma once
// Everything a program needs: #include "teeny/teeny.h", and the rest is in namespace teeny.
#include "teeny/data/datasets.h"
#include "teeny/data/idx.h"
#include "teeny/data/loader.h"
#include "teeny/io/checkpoint.h"
#include "teeny/io/safetensors.h"
#include "teeny/nn/layers.h"
#include "teeny/nn/optim.h"
#include "teeny/nn/state.h"
#include "teeny/jit.h"
#include "teeny/tensor.h"
