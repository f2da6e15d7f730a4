"""An OVA around a disk: a tar with a description of a plain machine (OVF) and a VMDK.

Sources: DMTF DSP0243, "Open Virtualization Format Specification" 1.1; DSP0004's resource types;
POSIX.1-2017, pax, "ustar Interchange Format".
"""

import tarfile
from collections.abc import Iterable, Iterator
from typing import Final

_RECORD: Final = tarfile.RECORDSIZE  # a tar is a whole number of these, of 10 KiB
_DESCRIPTION: Final = """\
<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1"
 xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
 xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
 xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData">
 <References><File ovf:id="file1" ovf:href="{disk}" ovf:size="{size}"/></References>
 <DiskSection>
  <Info>The disk</Info>
  <Disk ovf:diskId="disk1" ovf:fileRef="file1" ovf:capacity="{capacity}"
   ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>
 </DiskSection>
 <NetworkSection>
  <Info>The network</Info>
  <Network ovf:name="VM Network"><Description>Any</Description></Network>
 </NetworkSection>
 <VirtualSystem ovf:id="{name}">
  <Info>A machine with the disk</Info>
  <Name>{name}</Name>
  <OperatingSystemSection ovf:id="101"><Info>Linux, 64 bits</Info></OperatingSystemSection>
  <VirtualHardwareSection>
   <Info>Its hardware</Info>
   <System>
    <vssd:ElementName>Hardware</vssd:ElementName><vssd:InstanceID>0</vssd:InstanceID>
    <vssd:VirtualSystemIdentifier>{name}</vssd:VirtualSystemIdentifier>
    <vssd:VirtualSystemType>vmx-07</vssd:VirtualSystemType>
   </System>
   <Item>
    <rasd:ElementName>Processors</rasd:ElementName><rasd:InstanceID>1</rasd:InstanceID>
    <rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>{cpus}</rasd:VirtualQuantity>
   </Item>
   <Item>
    <rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits>
    <rasd:ElementName>Memory</rasd:ElementName><rasd:InstanceID>2</rasd:InstanceID>
    <rasd:ResourceType>4</rasd:ResourceType>
    <rasd:VirtualQuantity>{memory_mib}</rasd:VirtualQuantity>
   </Item>
   <Item>
    <rasd:Address>0</rasd:Address>
    <rasd:ElementName>SCSI controller</rasd:ElementName><rasd:InstanceID>3</rasd:InstanceID>
    <rasd:ResourceSubType>lsilogic</rasd:ResourceSubType><rasd:ResourceType>6</rasd:ResourceType>
   </Item>
   <Item>
    <rasd:AddressOnParent>0</rasd:AddressOnParent>
    <rasd:ElementName>Disk</rasd:ElementName>
    <rasd:HostResource>ovf:/disk/disk1</rasd:HostResource><rasd:InstanceID>4</rasd:InstanceID>
    <rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType>
   </Item>
   <Item>
    <rasd:AutomaticAllocation>true</rasd:AutomaticAllocation>
    <rasd:Connection>VM Network</rasd:Connection>
    <rasd:ElementName>Network</rasd:ElementName><rasd:InstanceID>5</rasd:InstanceID>
    <rasd:ResourceSubType>E1000</rasd:ResourceSubType><rasd:ResourceType>10</rasd:ResourceType>
   </Item>
  </VirtualHardwareSection>
 </VirtualSystem>
</Envelope>
"""


def ova(
    name: str, disk: Iterable[bytes], disk_bytes: int, *, capacity: int, cpus: int, memory_mib: int
) -> Iterator[bytes]:
    """The archive, piece by piece. `name` is an id of ours; `disk` has `disk_bytes` in all, a
    streamOptimized VMDK of `capacity` bytes."""
    disk_name = f"{name}-disk1.vmdk"
    told = _DESCRIPTION.format(
        name=name,
        disk=disk_name,
        size=disk_bytes,
        capacity=capacity,
        cpus=cpus,
        memory_mib=memory_mib,
    ).encode()
    first = _header(f"{name}.ovf", len(told)) + told + _padding(len(told))
    first += _header(disk_name, disk_bytes)
    yield first
    yield from disk
    after = _padding(disk_bytes) + bytes(2 * tarfile.BLOCKSIZE)
    written = len(first) + disk_bytes + len(after)
    yield after + bytes(-written % _RECORD)


def _header(name: str, size: int) -> bytes:
    """GNU's form has sizes beyond 8 GiB, which POSIX's has not."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)
