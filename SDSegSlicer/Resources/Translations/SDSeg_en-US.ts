<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="en_US">
<context>
    <name>SDSegPropagate</name>
    <message>
        <source>Between</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Draw the structure on a slice first.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Up</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Down</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>All</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Turn views to the volume</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Turn all slice views so that they show the volume&apos;s own slices.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Progress of the preview</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Add to my cases…</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Keep the CT and this segmentation in the module SDSeg, to teach a model of your own.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Apply</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Write the preview into the segment (key C). Drawn slices stay exactly as they are.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Cancel</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Remove the preview; the segment stays as it is.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Correct near the drawn slices only</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Slices further away stay as predicted. Otherwise all are computed from the drawn slices alone.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Update the preview after each stroke</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Drawn slices</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Slices that are right: drawn, corrected or confirmed. They are never changed.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Click to show the slice.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Add shown</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The slice that is shown is right as it is.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Remove</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The chosen slice is not right; it may be changed.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Unsure slices</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Slices of the preview to look at, the least certain first.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Draw this one next</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Show the slice whose correction helps most (key N).</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Plane of the slices:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Plane of the slices</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The plane of the slices that were drawn.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>This is a prediction</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The whole segment was made by a program. What you draw from now on corrects it.</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SDSegPropagateLib.SegmentEditorEffect</name>
    <message>
        <source>&lt;html&gt;Draw a structure on a few slices, or correct a predicted one on a slice: SDSeg carries it to the other slices.&lt;br&gt;&lt;p&gt;&lt;b&gt;Between, Up, Down, All&lt;/b&gt;: show a preview; it follows every stroke, also while another effect such as Paint is in use.&lt;br&gt;&lt;b&gt;Apply&lt;/b&gt;, or the key &lt;b&gt;C&lt;/b&gt;: take it. Slices drawn by hand stay exactly as they are. Editable area, overwriting of other segments and undo work as usual.&lt;br&gt;&lt;b&gt;Draw this one next&lt;/b&gt;, or the key &lt;b&gt;N&lt;/b&gt;: go to the slice whose correction helps most.&lt;/p&gt;&lt;/html&gt;</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SDSegPropagateLib.panel</name>
    <message>
        <source>Fill the slices between the drawn ones, of which there must be two.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Go on from the outermost drawn slice {direction}, to the structure&apos;s end.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Between the drawn slices and beyond them, {up} and {down}.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>No slice view is parallel to the volume&apos;s slices. Turn the views to the volume before you draw.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Automatic</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Automatic: {plane}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The preview follows when the segmentation that is going on has ended.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Previews are computed on this computer, because each stroke asks for one. The server {server} computes Segment.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Computing… the first preview also starts the worker and loads the model.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Slice {done} of {total}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Something was drawn since this preview. Apply computes it anew and takes it.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>There is nothing to carry in this direction: no slices are left there.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The structure ends at the drawn slices: the preview of the others is empty.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Preview on {count} slices. Apply takes it.</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SDSegPropagateLib.requests</name>
    <message>
        <source>The preview was cancelled, because the worker was stopped.</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SDSegPropagateLib.scripting</name>
    <message>
        <source>Give a segmentation node and a volume node.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The segmentation or the volume was removed meanwhile.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The segment was changed meanwhile, so nothing was written; carry it again.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>A segmentation is going on; wait for its end, or cancel it.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Cancelled; nothing was changed.</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SDSegPropagateLib.session</name>
    <message>
        <source>No slice view shows one of these slices; turn the views to the volume first.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Between needs two drawn slices; choose All, Up or Down for one.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Carried to {count} slices. Look through them and correct what is wrong. When all is right, it can be kept as a case, to teach a model.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Packages are missing: {names}. Open the module SDSeg and click Segment; it offers to install them.</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SDSegPropagateLib.target</name>
    <message>
        <source>All drawn slices are empty; draw the structure on at least one slice.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Nothing is drawn yet. Draw the structure on some slices with Paint or Draw, then choose where to carry it.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The structure is drawn in a plane that is tilted by {degrees:.0f}° against the volume&apos;s slices. Turn the views to the volume, and draw it there.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>No slice has been changed since the prediction. Correct one, or add one to the list that is right as it is.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>It cannot be told which slices were drawn: the structure has no gaps, or was drawn in several planes. If it is a prediction, say so with the button below and correct a slice; or choose the plane of the slices that you have drawn.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Choose a segmentation first.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Choose the CT as source volume first.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Select a segment first, or add one.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The volume is a time sequence; only the time point that is shown is carried. Changes of a segmentation that is a sequence too are kept if Save changes is on for it in the module Sequences.</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SDSegPropagateLib.views</name>
    <message>
        <source>Axial</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Coronal</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Sagittal</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>towards the head</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>towards the feet</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>towards the front</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>towards the back</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>towards the patient&apos;s right</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>towards the patient&apos;s left</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{number}  ({name} {mm:.1f} mm)</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SDSegSlicer</name>
    <message>
        <source>Or from folder:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Without a network: a folder with the packages as wheel files (.whl). Leave empty to download.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Install</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Install these packages into 3D Slicer&apos;s own Python.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Not now</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Close this without installing anything.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>What to segment</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;CT volume:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Choose a CT</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The CT to segment. It may lie in any orientation and under transforms.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Use it</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Choose the volume that the views show as the CT to segment.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>S&amp;hown as:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Window and level of the chosen CT in the views. It changes how the CT is shown, never what is segmented.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Segment it nevertheless</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The result would probably mean nothing. Tick this only if you know that the warning is wrong.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>All frames of the sequence</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Segment every time point. Otherwise only the one that is shown.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Model:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>What can be segmented. More models can be installed under Advanced.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Card</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Show the model&apos;s card: training data, measured accuracy, limits and licence.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Card of the model</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>S&amp;tructures:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Which structures to segment. Space ticks the current one.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>All</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Tick all structures.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>None</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Untick all structures. With none ticked, all are segmented.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Region:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Whole volume</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Segment only inside a box. Create a new one here and drag its handles in the slice views.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Output:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>New segmentation</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Where the result goes: a new segmentation, or one that exists.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Write into it although it belongs to another volume</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>For another series of the same patient in the same place.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Update these structures</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Write the ticked structures only; every other segment stays as it is.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Replace the whole segmentation</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Remove all other segments as well, but for those that somebody edited.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Overwrite edited segments too</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Otherwise segments that somebody edited stay exactly as they are.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Show</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Show these results in the views again, beside the one that belongs to the chosen CT.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Result</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Volumes of the structures</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Volumes of the structures that were found. A double click shows one in the slice views.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Segment &amp;Editor</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Open the result in the module Segment Editor.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>E&amp;xport</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Write the segmentation to a file.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Undo</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Bring back the segmentation as it was before the last change.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Review</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Slices to review</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The slices where the result is least sure, by the probabilities of the model. Choosing one moves the slice views there.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Chec&amp;ked, next</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Mark this slice as checked and go to the next one.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Show unsure pl&amp;aces</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Lay over the CT how much the repetitions differ, from dark (sure) to bright (unsure).</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Opacity of the unsure places</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>How strongly the unsure places are drawn.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Segment 5 times for a map of unsure places</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Repeats the segmentation from five random beginnings: where they differ, the result is unsure. Edited segments stay as they are.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Edit</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Carry to the other slices</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Draw the chosen segment on some slices first, or correct it on one, with Paint or Erase. This shows a preview of the other slices; Apply takes it.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Add to my cases…</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Keep this CT with the corrected structures in a folder of yours, to teach a model of your own. What is added is shown first.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Segmentation:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Choose a segmentation</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The segmentation that becomes a case, together with its CT.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>CT:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Structures:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Folder:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Choose…</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Choose the folder in which your cases are kept: a new or empty one, or one with cases. Nothing is written before you click Add.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Patient images may be kept there</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Tick this if images of patients may be kept in this folder. It is asked once for each folder.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Name:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Name of the case. Leave it empty for the next number; do not use names of patients.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Patient:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>only if several CT are of one patient</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Only if several CT are of one patient: the same word for each of them, such as A. Which cases are of one patient is kept, the word is not.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Add</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Copy the CT and the structures into the folder: voxels, names, colours and codes, nothing else.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Close this without adding anything.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Teach</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>A model for your own structures, from cases that you corrected. It is taught on this computer; nothing is sent anywhere.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Choose the folder in which your cases are kept: a new or empty one, or one with cases.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Open</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Show the folder in the file manager.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Cases</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The cases in the folder. Only corrected ones are learned from; those that are left out serve to measure.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>State:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>State of the chosen case. Corrected ones are learned from; those that are left out serve to measure; the others are proposed for correction.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Remove…</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Delete the chosen case from the folder; it is asked first.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Draw a structure…</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Add a segmentation…</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Add any segmentation of the scene with its CT, also one that was drawn by hand.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Learn:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Which structures to learn. Space ticks the current one.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Start from:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>A model that knows these structures needs fewer cases; with nothing known, any structure in any part of the body can be learned.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Minutes:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Time for all of it, reading and measuring included. Any number can be typed; more time gives a better model.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Name of the new model: letters, digits, hyphens and underscores.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Progress of teaching</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>How much the network still errs on what it learns from (its loss), from the beginning to now.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Dice of cases that were left out</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Dice, the overlap with what you drew (0 to 1), on cases that were left out while learning: of the model that was begun with, and of the new one.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Use this model</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Choose the new model for the next click on Segment.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Show pictures</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Open the folder with figures, and pictures of the cases where the new model is worst. They show patients.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Save as one file…</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Write the model to one file, to give it on. It holds no images and nothing of the patients, but weights can remember images.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Advanced</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Compute on:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Where Segment computes. A server is another computer of yours that runs sdseg serve, for example one with a GPU. SDSeg Propagate and teaching stay on this computer.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>This computer</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>A server</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Address:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The address that the server prints when it starts, with its fingerprint. It is remembered.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Token:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The secret that the server&apos;s administrator gave you. It is kept in the system&apos;s keyring, or in a file that only you can read.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Save and check</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Remember address and token, and see whether the server answers. No image is sent.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Device:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Precision:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Repetitio&amp;ns:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Average &amp;with mirrored slices</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Re&amp;verse steps:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Batch:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Automatic</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source> slices</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Model &amp;folder:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Your own models. They outlive updates of 3D Slicer and of this extension.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Install model from file…</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Install a model from a zip file; it is verified first. Needs no network.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Log:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>What the worker did, with the time of day.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Copy lo&amp;g</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Copy the log, with versions, for a bug report.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Free memor&amp;y</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>End the worker process. The next click on Segment starts it again.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Show log</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Open the log under Advanced.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Copy</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Copy this message and the log.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Dismiss</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Hide this message.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Progress of the segmentation</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Segment</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Segments structures in CT: choose a volume and a model, click Segment, review where the result is unsure, correct it, export it. The Segment Editor&apos;s effect SDSeg Propagate carries drawn or corrected slices to the others. A model of your own: section Teach, Draw a structure; after three corrected cases, Teach; the tutorial in docs/tutorials/own-model.md shows each step. Not a medical device.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>SDSeg is the method of Lin et al., Stable Diffusion Segmentation for Biomedical Images with Single-step Reverse Process, MICCAI 2024 (arXiv 2406.18361). Licence: Apache-2.0.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Segmenting a small volume with a tiny model</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Test passed</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SDSegSlicerLib.addCasePanel</name>
    <message>
        <source>This is copied into the folder when you click Add:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Keeping cases</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Adding the case</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Looking at the case</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Choose a segmentation.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>This segmentation belongs to no CT of the scene; choose its CT above.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Choose a folder for your cases first.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Tick that images may be kept in the folder.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The name &quot;{name}&quot; {problem}.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>counting…</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>This CT is in the folder already, as {name}; its segmentation is replaced.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Replace</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Add</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Adding…</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{name} {volume} mL</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{name} was added to {folder}: {structures}.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{name} in {folder} has the new segmentation: {structures}.</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SDSegSlicerLib.advancedPanel</name>
    <message>
        <source>a map of the uncertainty is made</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>2 or more show where it is unsure</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>twice the time</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Install a model</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Models (*.zip model.json)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The installation of the model</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The model &quot;{title}&quot; is installed in {folder}.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Copied to the clipboard</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The worker has ended</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SDSegSlicerLib.background</name>
    <message>
        <source>the volume</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{doing} failed; the error log says why.</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SDSegSlicerLib.caseFolder</name>
    <message>
        <source>not chosen yet</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Folder for your cases</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Choose a folder for your cases first.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>set its state again</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>add it again to the case</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SDSegSlicerLib.casesPanel</name>
    <message>
        <source>Case</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>State</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Structures</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Cases: {place}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Delete {name}, its CT and its segmentation from {folder}? This cannot be undone.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Remove a case</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{name} was removed. These other files are still in its folder: {names}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Checking the cases</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>to do</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>segmented</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>corrected</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>left out</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SDSegSlicerLib.deletedChoices</name>
    <message>
        <source>The chosen CT &quot;{node}&quot; was deleted; choose another one.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The region &quot;{node}&quot; was deleted; now the whole volume is segmented.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The output &quot;{node}&quot; was deleted; the result goes into a new segmentation.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The segmentation &quot;{node}&quot; was deleted; choose another one to add.</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SDSegSlicerLib.dependencyPanel</name>
    <message>
        <source>&lt;b&gt;{name}&lt;/b&gt; {version} or later ({size})</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{purpose} needs Python packages that are not installed yet: &lt;ul&gt;{lines}&lt;/ul&gt;They go into 3D Slicer&apos;s own Python and nowhere else. The download comes from pypi.org or pytorch.org and can take minutes; no image leaves this computer.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Installing…</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Packages are being installed; that can take minutes.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The installation stopped; the error log says why.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Trying the packages…</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The packages are being tried; that takes some seconds.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The trial of the packages</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>still missing or too old: {names}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The packages were installed but do not work ({problem}). Restart 3D Slicer and try again; if it comes back, reinstall PyTorch with the extension PyTorch.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Install</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SDSegSlicerLib.earlierResults</name>
    <message>
        <source>Hidden, because they belong to another CT or an earlier run: {names}</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SDSegSlicerLib.editorPanel</name>
    <message>
        <source>Segments that are changed here stay as they are in the next run, unless you say so.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Correct the result; what is edited here survives the next run.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{volume} drawn</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SDSegSlicerLib.exportMenu</name>
    <message>
        <source>Segmentation file (.seg.nrrd)…</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>DICOM Segmentation (.dcm)…</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Refers to the CT&apos;s series slice by slice, for a PACS. Where segments overlap, the lower one in the list counts.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Segmentations (*.seg.nrrd)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Written: {path}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Writing DICOM Segmentations</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>DICOM files (*.dcm)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Writing the DICOM Segmentation</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Export</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The file &quot;{path}&quot; exists. Replace it?</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The CT was not loaded from the DICOM database, so there is no series to refer to.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>This 3D Slicer has pydicom {version}, and writing DICOM Segmentations needs 3.0.1. Use 3D Slicer 5.12 or later, or install the extension QuantitativeReporting and export through the module DICOM.</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SDSegSlicerLib.inputPanel</name>
    <message>
        <source>The check of the volume</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>All {count} frames of the sequence</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Choose a CT volume first.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>This is a map of instability; choose the CT that it belongs to.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>This volume may not suit the model; choose another, or tick the box below the warning.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>modality not stated</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>values like a CT</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>transformed</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>checking…</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>A turned box, {percent:.0f} % of the volume</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The smallest box of voxels around it, {percent:.0f} % of the volume, because a transform is not linear</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{voxels} voxels, {percent:.0f} % of the volume</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SDSegSlicerLib.libraryTexts</name>
    <message>
        <source>{seconds:.1f} s</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{seconds} s</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{minutes} min {seconds} s</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{hours} h {minutes} min</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{voxels} voxels of {millimeters} mm</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SDSegSlicerLib.modelPanel</name>
    <message>
        <source>The model &quot;{name}&quot; is not installed; choose another, or install it under Advanced.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>No model is installed; install one under Advanced.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Automatic</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Automatic: {title}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{name} (not installed)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Version {version}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>region: {region}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>licence: {licence}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>not stated</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>mean Dice on unseen patients {dice:.2f}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>This model has no card.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>None ticked: all {total} are segmented</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{count} of {total}</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SDSegSlicerLib.outputPanel</name>
    <message>
        <source>Edited by hand, stays as it is: {names}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Edited by hand, will be overwritten: {names}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The segmentation &quot;{segmentation}&quot; belongs to the volume &quot;{volume}&quot;; choose another output, or tick the box below it.</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SDSegSlicerLib.parameters</name>
    <message>
        <source>Automatic</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>NVIDIA GPU (CUDA)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Apple GPU (MPS)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Processor (CPU)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Single (float32)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Half (float16)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Half (bfloat16)</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SDSegSlicerLib.requirements</name>
    <message>
        <source>0.2 GB without, 3 GB with CUDA, torchvision included</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Not supported: on macOS, 3D Slicer is built for Intel processors, and there is no current PyTorch for these. Use SDSeg on Windows or Linux, or its command line.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The packages were not installed: {reason}. The Python console shows what pip said. Behind a proxy or without a network, name a folder with wheel files.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>no reason was given</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SDSegSlicerLib.resultPanel</name>
    <message>
        <source>Show the structures as surfaces in the 3-D view.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Structure</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Volume (mL)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>not found</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>kept as edited</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>(removed)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>of these {loading} for loading</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>mean of {count} repetitions</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{count} frames, volumes of the last one</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Volumes as the model found them; later edits are not counted.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Kept as edited: {names}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>On the processor ({reason})</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>On the GPU ({reason})</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Checked</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Slice</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Unsure</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{done} of {total} checked</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Look at these slices first; the least sure come first.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>There is no slice to look at first.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The repetitions agree everywhere; there is no slice to look at first.</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SDSegSlicerLib.runControl</name>
    <message>
        <source>A segmentation is going on; cancel it first.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Segment</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Find the ticked structures in the volume.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Cancelling…</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Cancel</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Stop; nothing in the scene is changed.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Stopping after the slices that are being computed…</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Sending the volume to {server}…</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Reading the volume…</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Loading the model; later runs skip this…</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Writing the result…</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Slice {done} of {total}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Frame {number} of {count}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>about {time} left</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SDSegSlicerLib.scripting</name>
    <message>
        <source>There is no volume; give a volume node.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The mode &quot;{mode}&quot; is unknown; choose &quot;update&quot; or &quot;replace&quot;.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Packages are missing: {names}. Open the module SDSeg and click Segment; it offers to install them.</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SDSegSlicerLib.segmentationRun</name>
    <message>
        <source>A script&apos;s segmentation is going on; wait for its end, or end it with Free memory under Advanced.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The frames of a sequence go into a new segmentation; choose that as output.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Cancelled, because the volume or the segmentation was removed.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Cancelled, because the worker was stopped.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Cancelled; nothing was changed.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Measuring the result</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The result could not be written; the error log says why.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The slices to review are those of the last frame; there is no map of them.</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SDSegSlicerLib.serverPanel</name>
    <message>
        <source>Segment sends the voxels of the CT and its geometry to {server}; no names, dates or UIDs.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>kept</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>SDSeg Propagate and Teach compute on this computer.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Enter address and token of the server under Advanced, or compute on this computer.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Enter the token of the server; its administrator gives it.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The check of the server</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SDSegSlicerLib.shownVolume</name>
    <message>
        <source>The views show &quot;{name}&quot;.</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SDSegSlicerLib.teachChoices</name>
    <message>
        <source>No structure is drawn in cases of two patients yet: draw it in a case of another patient, too.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Tick a structure to learn.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{name} ({note})</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>of one patient only, needs a second</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>in {held} of {count} cases</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Nothing known (any structure)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Begins with a network that has seen much CT and knows no structure.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>It knows these structures, and learns how you draw them.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>New for it: {names}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&quot;{text}&quot; minutes cannot be taught in; give a number such as 20.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The name &quot;{name}&quot; {problem}.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>There is a model called &quot;{name}&quot; already; choose another name.</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SDSegSlicerLib.teachPanel</name>
    <message>
        <source>Teaching</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>There are no cases yet. Segment a CT or draw a structure on some slices and carry it to the others with SDSeg Propagate; correct it, and click Add to my cases.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>None of the {count} cases is corrected yet. Correct one and add it again, or set its state to corrected if it is right.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>There is only one patient ({names}), so nothing could show whether a model works on another one. Correct a case of a second patient first; until then, SDSeg Propagate carries what you draw through a CT without any learning.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Cancel</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Teach</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Stopping…</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Learn from the corrected cases; you can go on working meanwhile.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Stop, and keep what was learned so far: Teach goes on from there.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>A run of this name was stopped. With the same cases and choices, Teach goes on from there; otherwise it begins anew.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Learns from {cases} cases of {patients} patients.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Starting…</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{stage}, about {time} left</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Teach ({percent} %, about {time} left)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{stage}; the planned time is over</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Teach (the planned time is over)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Stopping; what was learned is being saved…</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The model &quot;{name}&quot; is there; the section Teach shows how good it is.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The model &quot;{name}&quot; was not kept; the section Teach says why.</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SDSegSlicerLib.teachResult</name>
    <message>
        <source>Structure</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Before</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Now</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The model &quot;{name}&quot;, learned from {cases} cases of {patients} patients</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>No new model &quot;{name}&quot;, after learning from {cases} cases</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Save the model as one file</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Model file (*.zip)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The model is in {path}. Others install it under Advanced, from file.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Overlap (Dice) on {cases} cases, each measured by a network that had not seen its patient.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Overlap (Dice) on one case, of a network that had not seen its patient.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Worst: {structure} in {case}, {dice}.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Correct next: {case}, of which the new model is least certain.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Next: use this model, segment a CT that it has not seen, correct that and add it to your cases; then teach again from this model.</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SDSegSlicerLib.teachRun</name>
    <message>
        <source>Stopped. What was learned is saved; Teach with the same choices goes on from there.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>A model is being taught; cancel that first.</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SDSegSlicerLib.widgets</name>
    <message>
        <source>Copied to the clipboard</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SDSegSlicerLib.window</name>
    <message>
        <source>Cancelled, because the scene was closed.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Draw a structure that no model knows on some slices of the chosen CT, and carry it to the others with SDSeg Propagate.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Choose a CT above first.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Segmenting</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{error}

Compute on this computer this time?</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The server has failed</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>There is nothing more to take back.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The last change was taken back. The table still shows what the last run found.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The segmentation has no segment {name} any more.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Name the new segment as you want to find it in every case, and draw it on about every eighth slice, also on its first and last one. Then click Carry to the other slices.</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SDSegSlicerLib.windowPanel</name>
    <message>
        <source>As in the module Volumes</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Soft tissue</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Brain</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Bone</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Lung</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Wide</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{name} (W {width:.0f}, L {level:.0f})</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>qSlicerAbstractCoreModule</name>
    <message>
        <source>Segmentation</source>
        <translation type="unfinished"></translation>
    </message>
</context>
</TS>
