"""The stencil cell's rollout as fused CUDA kernels: bf16 products, float32 sums and states.

``source`` holds the kernels, ``variants`` says which of their variants a cell takes, ``plan`` how each is launched,
``packing`` in which form it is given parameters, ``limits`` what cannot run, ``rollout`` puts launches together.
``shipped`` has some variants compiled, by ``build``. Only ``nvrtc`` and ``driver`` need NVIDIA's libraries.
"""
