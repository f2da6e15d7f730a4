; A boot sector that does what every kernel does first and that broken virtualisation fails at:
; real mode, protected mode, long mode with paging, the high half of the address space, and an
; exception through an IDT that returns. It leaves by writing 0x41 to the debug-exit port
; (QEMU: -device isa-debug-exit,iobase=0xf4), so QEMU ends with the code 0x41 * 2 + 1 = 131.
; Some nested hosts offer a /dev/kvm that gets as far as long mode and dies in the high half.
;
; accelerator.py holds the assembled bytes; a test compares them where nasm is installed:
;   nasm -f bin -o kvm_probe.bin kvm_probe.asm

HIGH_HALF equ 0xffffffff80000000
PML4      equ 0x10000
PDPT      equ 0x11000
DIRECTORY equ 0x12000
IDT       equ 0x13000
STACK     equ 0x7c00
PRESENT   equ 3                       ; and writable
LARGE     equ 0x83                    ; and 2 MiB

CODE32    equ gdt.code32 - gdt
DATA      equ gdt.data - gdt
CODE64    equ gdt.code64 - gdt

    org 0x7c00
    bits 16
    jmp 0:real                        ; some firmware arrives at 07c0:0000
real:
    cli
    xor eax, eax
    mov ds, ax
    mov ss, ax
    mov sp, STACK
    lgdt [gdt_pointer]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    jmp CODE32:protected

    bits 32
protected:
    mov ax, DATA
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov esp, STACK
    mov edi, PML4                     ; four pages of zeros: three tables and the IDT
    mov ecx, 0x4000 / 4
    xor eax, eax
    rep stosd
    mov dword [PML4], PDPT | PRESENT
    mov dword [PML4 + 511 * 8], PDPT | PRESENT
    mov dword [PDPT], DIRECTORY | PRESENT
    mov dword [PDPT + 510 * 8], DIRECTORY | PRESENT
    mov dword [DIRECTORY], LARGE      ; the first 2 MiB, low and high
    mov eax, cr4
    or eax, 1 << 5                    ; PAE
    mov cr4, eax
    mov eax, PML4
    mov cr3, eax
    mov ecx, 0xc0000080               ; EFER
    rdmsr
    or eax, 1 << 8                    ; LME
    wrmsr
    mov eax, cr0
    or eax, 1 << 31                   ; paging
    mov cr0, eax
    jmp CODE64:long_mode

    bits 64
long_mode:
    mov rax, HIGH_HALF + high
    jmp rax
high:
    mov rsp, HIGH_HALF + STACK
    mov rbx, HIGH_HALF + IDT
    mov rax, HIGH_HALF + breakpoint
    mov [rbx + 3 * 16], ax            ; vector 3: offset 15..0, selector, gate, offset 63..16
    mov word [rbx + 3 * 16 + 2], CODE64
    mov word [rbx + 3 * 16 + 4], 0x8e00
    shr rax, 16
    mov [rbx + 3 * 16 + 6], ax
    shr rax, 16
    mov [rbx + 3 * 16 + 8], eax
    lidt [rel idt_pointer]
    xor ecx, ecx
    int3
    cmp cl, 0x41                      ; was it really there?
    jne stop
    mov al, cl
    out 0xf4, al
stop:
    hlt
    jmp stop

breakpoint:
    mov cl, 0x41
    iretq

    align 8
gdt:
    dq 0
.code32:
    dq 0x00cf9a000000ffff
.data:
    dq 0x00cf92000000ffff
.code64:
    dq 0x00af9a000000ffff
gdt_pointer:
    dw $ - gdt - 1
    dd gdt
idt_pointer:
    dw 0xfff
    dq HIGH_HALF + IDT

    times 510 - ($ - $$) db 0
    dw 0xaa55
