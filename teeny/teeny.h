#pragma once
// Everything a program needs: #include "teeny/teeny.h", and the rest is in namespace teeny.
#include "teeny/data/data.h"
#include "teeny/dist/dist.h"
#include "teeny/functional/functions.h"
#include "teeny/io/io.h"
#include "teeny/jit/jit.h"
#include "teeny/jit/run_program.h"
#include "teeny/nn/nn.h"
#include "teeny/onnx/onnx.h"
#include "teeny/optim/optim.h"
#include "teeny/tensor/function.h"
#include "teeny/tensor/tensor.h"
#include "teeny/version.h"
